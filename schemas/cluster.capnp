# Cluster: who is where, who leads, and what operators may do about it.
@0xfd41aaab0f9afef0;

using Common = import "common.capnp";

struct GroupStatus {
  group @0 :UInt32;
  region @1 :Text;            # empty: the global group
  index @2 :UInt32;           # of this node's replica
  role @3 :Text;              # primary, backup, backfilling, view-change, recovering, replaced, read-only
  view @4 :UInt64;
  op @5 :UInt64;
  commit @6 :UInt64;
  primary @7 :Text;           # client address of the primary of this view
  ready @8 :Bool;
  incarnation @9 :UInt32;
  applied @10 :UInt64;
  rotten @11 :UInt32;         # frames known to have rotted here, not mended from the peers yet
}

# How often something held the node's loop up for how long, since its start.
struct Pauses {
  what @0 :Text;              # turn, work, late, snapshot, collector: see the manual
  longestUs @1 :UInt64;
  counts @2 :List(UInt64);    # up to 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000 ms, and longer
}

struct GroupInfo {
  group @0 :UInt32;
  region @1 :Text;
  addresses @2 :List(Text);   # client addresses of its replicas, by index
}

struct NodeStatus {
  name @0 :Text;
  pid @1 :UInt32;
  address @2 :Text;
  ready @3 :Bool;
  groups @4 :List(GroupStatus);
  version @5 :Text;
  cluster @6 :Data;
  pauses @7 :List(Pauses);
}

interface Cluster {
  status @0 () -> (status :NodeStatus);
  directory @1 () -> (groups :List(GroupInfo));
  stepDown @2 (group :UInt32) -> (refused :Common.Refusal);      # code 0: done
  replace @3 (group :UInt32, index :UInt32, timeoutMs :UInt32)
      -> (incarnation :UInt32, refused :Common.Refusal);
}
