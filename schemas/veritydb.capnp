# The front door: bootstrap -> session -> capabilities.
@0xe00ec066060d1efe;

using Common = import "common.capnp";
using Streams = import "streams.capnp";
using Policy = import "policy.capnp";
using Audit = import "audit.capnp";
using Cluster = import "cluster.capnp";

const protocolVersion :UInt32 = 1;

struct HelloReq {
  protocolVersion @0 :UInt32;
  client @1 :Data;            # 16 random bytes of this client process, or empty
}

struct HelloRes {
  union {
    session @0 :Session;
    refused @1 :Common.Refusal;
  }
  cluster @2 :Data;
  node @3 :Text;
  time @4 :UInt64;            # the node's clock, ns since 1970: what `sentAt` is reckoned by
}

interface VerityDb {
  hello @0 (req :HelloReq) -> (res :HelloRes);
}

interface Session {
  streams @0 () -> (streams :Streams.Streams);
  policy @1 () -> (policy :Policy.Policy);
  audit @2 () -> (audit :Audit.Audit);
  cluster @3 () -> (cluster :Cluster.Cluster);
  register @4 (group :UInt32, timeoutMs :UInt32) -> (session :UInt64, refused :Common.Refusal);
  # Opens this client's session in one group, through its log. Entries may then carry
  # (client, session, number); a repeated number is answered, not applied again.
}
