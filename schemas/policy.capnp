# Policy: the versioned rules that narrow where data may go.
@0xcb1af7080e5bd68c;

using Common = import "common.capnp";

struct Rules {
  # May only narrow what is built in: PHI never leaves a region whatever stands here.
  deidentifiedGlobal @0 :Bool = true;
  nonPhiGlobal @1 :Bool = true;
  regions @2 :List(Text);     # empty: every region the cluster serves
  tenants @3 :List(UInt64);   # empty: every tenant
  retention @4 :List(ClassRetention);   # of new streams that name none
}

struct ClassRetention {
  dataClass @0 :Common.DataClass;
  retention @1 :Common.Retention;
}

struct PolicyRes {
  union {
    policy :group {
      version @0 :UInt32;
      rules @1 :Rules;
      group @2 :UInt32;
    }
    refused @3 :Common.Refusal;
  }
}

interface Policy {
  show @0 (group :UInt32) -> (res :PolicyRes);
  set @1 (group :UInt32, expectedVersion :UInt32, rules :Rules, timeoutMs :UInt32)
      -> (res :PolicyRes);
}
