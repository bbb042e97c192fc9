# Words that every capability uses. Field numbers are promises: add, never change.
@0x81dba331bd3904b0;

enum DataClass {
  unspecified @0;
  phi @1;
  nonPhi @2;
  deidentified @3;
}

struct Placement {
  union {
    unspecified @0 :Void;   # in a look-up: wherever the name is found, if it is found once
    global @1 :Void;
    region @2 :Text;
  }
}

enum Applied {
  no @0;        # certainly not applied; safe to send again
  unknown @1;   # may or may not have been applied
}

struct Refusal {
  # Why a call was not carried out. Never contains what the caller sent.
  code @0 :UInt16;          # veritydb/types/outcome.py and errors.py
  name @1 :Text;            # the code's name, for people
  message @2 :Text;
  applied @3 :Applied;
  retryAfterMs @4 :UInt32;
  redirect @5 :Text;        # address of the node to ask instead, if known
  actual @6 :UInt64;        # the real next offset, floor, size or version: what the code says
  limit @7 :UInt64;
}

struct Mark {
  # A point in one group's log. A token is a list of marks, at most one per group.
  group @0 :UInt32;
  op @1 :UInt64;
}

struct StreamRef {
  tenant @0 :UInt64;
  union {
    id @1 :UInt64;
    named :group {
      name @2 :Text;
      placement @3 :Placement;
    }
  }
}

struct Retention {
  # 0 is no bound. Age is in log time.
  maxAgeNs @0 :UInt64;
  maxBytes @1 :UInt64;
  maxEvents @2 :UInt64;
}

struct StreamInfo {
  id @0 :UInt64;
  tenant @1 :UInt64;
  name @2 :Text;
  dataClass @3 :DataClass;
  placement @4 :Placement;
  nextOffset @5 :UInt64;
  floor @6 :UInt64;        # the first offset that may still be read
  sealed @7 :Bool;
  retention @8 :Retention;
  createdAt @9 :UInt64;
  bytes @10 :UInt64;
  group @11 :UInt32;
}
