# Audit: what became of every command, hash-chained.
@0x8849aa98abd222eb;

using Common = import "common.capnp";

struct AuditOp {
  # All outcomes of one op: the tenant's own as records, everybody else's as bare hashes.
  op @0 :UInt64;
  timestamp @1 :UInt64;
  items @2 :List(Item);
  head @3 :Data;              # chain head after this op
  struct Item {
    union {
      record @0 :Data;        # 64 bytes, veritydb/types/outcome.py
      hash @1 :Data;          # SHA-256 of somebody else's record
    }
    client @2 :Data;          # with `record`
    actor @3 :UInt64;
    kind @4 :UInt16;
  }
}

struct AuditRes {
  union {
    page :group {
      ops @0 :List(AuditOp);
      previous @1 :Data;      # chain head before the first of them
      next @2 :UInt64;        # op to go on with
      done @3 :Bool;
    }
    refused @4 :Common.Refusal;
  }
}

interface Audit {
  list @0 (tenant :UInt64, group :UInt32, fromOp :UInt64, limit :UInt32, all :Bool) -> (res :AuditRes);
  # `all` false leaves out ops in which the tenant has no record (such a page cannot be verified).
}
