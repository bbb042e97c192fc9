# Between replicas. The messages themselves are veritydb/vsr/messages.py.
@0xbfc015b9b283a7b7;

struct PeerHello {
  protocolVersion @0 :UInt32;
  cluster @1 :Data;
  node @2 :Text;
}

interface Peers {
  hello @0 (req :PeerHello) -> (accepted :Bool, reason :Text);
  deliver @1 (header :Data, body :Data) -> ();
  # One way: nobody waits for the result. `header` names group, sender and kind.
}
