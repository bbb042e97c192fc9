# What a log keeps for ever: the bodies of command entries. This file may only grow. A field keeps
# its number and its meaning, a struct its number in the union; nothing is removed.
#
# Appends are no structs: see veritydb/types/entry.py and multi.py. The tenant and the stream a
# command is about stand in the entry's header.
@0xd1f3c5a7b96e8240;

struct Command {
  union {
    # Outcomes name a command by its number here plus one.
    createStream @0 :CreateStream;
    seal @1 :Void;                  # the header's `expected` is checked, then no event is accepted
    truncateBefore @2 :UInt64;      # the first offset to be kept
    setRetention @3 :Retention;
    setPolicy @4 :SetPolicy;
  }
}

struct CreateStream {
  name @0 :Text;
  dataClass @1 :UInt16;             # 1 PHI, 2 NonPHI, 3 Deidentified
  placement :union {
    global @2 :Void;
    regions @3 :List(Text);         # the set of regions that may hold the bytes; today exactly one
  }
  retention @4 :Retention;          # absent: the policy's default
}

struct Retention {
  # 0 is no bound.
  maxAgeNs @0 :UInt64;
  maxBytes @1 :UInt64;
  maxEvents @2 :UInt64;
}

struct SetPolicy {
  expected @0 :UInt32;              # the version to be replaced
  rules @1 :Rules;
}

struct Rules {
  # They narrow what is built in and cannot widen it. Lists are ascending.
  deidentifiedGlobal @0 :Bool = true;
  nonPhiGlobal @1 :Bool = true;
  regions @2 :List(Text);           # empty: every region the cluster serves
  tenants @3 :List(UInt64);         # empty: every tenant
  retention @4 :List(ClassRetention);
}

struct ClassRetention {
  dataClass @0 :UInt16;
  retention @1 :Retention;
}
