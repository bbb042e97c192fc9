# Streams: create, publish, read, seal, truncate, retention.
@0x844e8d8e51564a13;

using Common = import "common.capnp";

struct Event {
  # One event in plain form, for clients without a batch codec.
  id @0 :Data;              # 16 bytes; made by the server if empty
  type @1 :Text;
  schemaVersion @2 :UInt32;
  occurredAt @3 :UInt64;    # ns since 1970; 0: unknown
  causationId @4 :Data;     # empty or 16 bytes
  correlationId @5 :Data;   # empty or 16 bytes
  actor @6 :Text;
  payload @7 :Data;
  metadata @8 :Data;
}

enum Durability {
  localQuorum @0;   # on the disks of a quorum of the stream's group before the answer
  geoDurable @1;    # refused until cross-region replication exists
}

struct CreateStreamReq {
  tenant @0 :UInt64;
  name @1 :Text;
  dataClass @2 :Common.DataClass;
  placement @3 :Common.Placement;
  retention @4 :Common.Retention;
  timeoutMs @5 :UInt32;
}

struct CreateStreamRes {
  union {
    stream @0 :Common.StreamInfo;
    refused @1 :Common.Refusal;
  }
  existed @2 :Bool;
}

struct PublishReq {
  # One batch, applied whole or not at all.
  stream @0 :Common.StreamRef;
  expected :union {
    any @1 :Void;
    noStream @2 :Void;
    exists @3 :Void;
    offset @4 :UInt64;
  }
  batchId @5 :Data;         # empty or 16 bytes
  origin @6 :Data;          # empty or 16 bytes
  originSeq @7 :UInt64;     # sequence of the first event at its origin
  sentAt @8 :UInt64;        # when this batch was first sent, ns since 1970; a batch id that comes
                            # with `any` or `exists` needs it, and a retry repeats it
  durability @9 :Durability;
  timeoutMs @10 :UInt32;
  events @11 :List(Event);
}

struct PublishRes {
  union {
    appended :group {
      base @0 :UInt64;      # offset of the first event; the others follow it
      count @1 :UInt32;
      duplicate @2 :Bool;   # it had been applied before, there
      op @3 :UInt64;
      group @4 :UInt32;
      stream @5 :UInt64;
    }
    refused @6 :Common.Refusal;
  }
}

struct ReadReq {
  stream @0 :Common.StreamRef;
  from :union {
    offset @1 :UInt64;
    time @2 :UInt64;        # the first event whose log time is not before it
    end @3 :Void;
  }
  backwards @4 :Bool;
  limit @5 :UInt32;         # events; 0: the server's bound
  maxBytes @6 :UInt32;      # 0: the server's default
  consistency :union {
    local @7 :Void;         # what this node has applied
    linearizable @8 :Void;  # no older than the moment of the call; primary only
    atLeast @9 :List(Common.Mark);
  }
  plain @10 :Bool;          # events as structs instead of stored entries
  timeoutMs @11 :UInt32;
}

struct ReadItem {
  # One stored entry, or a part of one: which of its events were asked for follows from `base`,
  # the request and `count`.
  base @0 :UInt64;          # offset of the entry's first event
  count @1 :UInt32;         # events in the entry
  op @2 :UInt64;
  timestamp @3 :UInt64;     # log time
  union {
    entry @4 :Data;         # header and body as stored (veritydb/types/entry.py)
    events @5 :List(Event); # when `plain` was asked for, already cut to the range
    erased @6 :Void;
  }
  firstOffset @7 :UInt64;   # with `events`: offset of the first of them
  index @8 :UInt32;         # of the entry in its op
}

struct ReadRes {
  union {
    page :group {
      items @0 :List(ReadItem);
      next @1 :UInt64;      # where to go on (backwards: the offset below which to go on)
      end @2 :UInt64;       # the stream's next offset at this read
      floor @3 :UInt64;
      mark @4 :Common.Mark;
      done @5 :Bool;        # nothing is left in this direction
    }
    refused @6 :Common.Refusal;
  }
}

struct CommandRes {
  union {
    ok :group {
      op @0 :UInt64;
      group @1 :UInt32;
      policy @2 :UInt32;
      stream @3 :Common.StreamInfo;
    }
    refused @4 :Common.Refusal;
  }
}

struct ListRes {
  union {
    streams @0 :List(Common.StreamInfo);
    refused @1 :Common.Refusal;
  }
  more @2 :Bool;
}

interface Streams {
  create @0 (req :CreateStreamReq) -> (res :CreateStreamRes);
  publish @1 (req :PublishReq) -> (res :PublishRes);
  append @2 (entry :Data, timeoutMs :UInt32) -> (res :PublishRes);
  # The same for a client that encodes entries itself: header and body as they will be stored. The
  # server checks form, checksum and limits, and fills in the actor.
  read @3 (req :ReadReq) -> (res :ReadRes);
  show @4 (stream :Common.StreamRef, linearizable :Bool) -> (res :CreateStreamRes);
  list @5 (tenant :UInt64, placement :Common.Placement, afterId :UInt64, limit :UInt32)
      -> (res :ListRes);
  seal @6 (stream :Common.StreamRef, timeoutMs :UInt32) -> (res :CommandRes);
  truncate @7 (stream :Common.StreamRef, before :UInt64, timeoutMs :UInt32) -> (res :CommandRes);
  setRetention @8 (stream :Common.StreamRef, retention :Common.Retention, timeoutMs :UInt32)
      -> (res :CommandRes);
  appendMany @9 (entry :Data, timeoutMs :UInt32) -> (res :AppendManyRes);
  # One entry for several streams of one group, all or nothing.
}

struct AppendManyRes {
  union {
    appended @0 :List(PublishRes);
    refused @1 :Common.Refusal;
  }
}
