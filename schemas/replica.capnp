# Between nodes: how one greets another. Each of these stands in a frame (veritydb/server/framing.py),
# and so does what follows: the messages of replicas, which are veritydb/vsr/messages.py.
@0xbfc015b9b283a7b7;

struct PeerHello {
  protocolVersion @0 :UInt32;
  cluster @1 :Data;
  node @2 :Text;
  instance @3 :Data;          # 16 random bytes made with the node's data directory
  replicas @4 :List(ReplicaId);   # that the node holds
  check @5 :UInt32;           # CRC32C of the above (veritydb/server/peer_hello.py): what is remembered
                              # of a peer, or held against it, must not be a bit lost on the way
}

struct ReplicaId {
  group @0 :UInt32;
  index @1 :UInt32;
  incarnation @2 :UInt32;
}

struct PeerAnswer {
  # Accepted: whoever asked is remembered, durably, by its instance. `lost`: one of its replicas is
  # remembered with another instance, so its data directory is not the one that made the promises;
  # `instance` then repeats the one that was judged.
  accepted @0 :Bool;
  reason @1 :Text;            # empty if accepted
  lost @2 :Bool;
  instance @3 :Data;
}
