// A client of VerityDB without a line of its SDK: only the schemas and a stock Cap'n Proto library.
//
//     publish_read HOST:PORT REGION TENANT STREAM COUNT
//
// Creates a PHI stream in a region, publishes COUNT events to it in one batch, reads the stream
// back page by page, prints the payloads, and ends with 0 if the last COUNT are those it published.

#include <capnp/ez-rpc.h>

#include <chrono>
#include <iostream>
#include <stdexcept>
#include <string>
#include <vector>

#include "veritydb.capnp.h"

namespace {

constexpr uint16_t NOT_PRIMARY = 100;
constexpr int REDIRECTS_MAX = 10;

// The node asked does not lead the stream's group; another one does.
struct Redirect {
  std::string address;
};

[[noreturn]] void fail(Refusal::Reader refusal) {
  if (refusal.getCode() == NOT_PRIMARY && refusal.getRedirect().size() > 0) {
    throw Redirect{refusal.getRedirect().cStr()};
  }
  std::string text = refusal.getName().cStr();
  text += ": ";
  text += refusal.getMessage().cStr();
  text += refusal.getApplied() == Applied::NO ? " (not applied)" : " (unknown)";
  throw std::runtime_error(text);
}

class Client {
public:
  explicit Client(const std::string& address)
      : rpc(address), streams(nullptr) {
    auto hello = rpc.getMain<VerityDb>().helloRequest();
    hello.initReq().setProtocolVersion(PROTOCOL_VERSION);
    auto answer = hello.send().wait(rpc.getWaitScope());
    if (answer.getRes().isRefused()) fail(answer.getRes().getRefused());
    nodeTime = answer.getRes().getTime();
    greeted = std::chrono::steady_clock::now();
    streams = answer.getRes().getSession().streamsRequest().send().getStreams();
  }

  // Returns the stream's id. Creating a stream that is there already is no error.
  uint64_t create(uint64_t tenant, const char* name, const char* region) {
    auto call = streams.createRequest();
    auto req = call.initReq();
    req.setTenant(tenant);
    req.setName(name);
    req.setDataClass(DataClass::PHI);
    req.initPlacement().setRegion(region);
    auto answer = call.send().wait(rpc.getWaitScope());
    if (answer.getRes().isRefused()) fail(answer.getRes().getRefused());
    return answer.getRes().getStream().getId();
  }

  // The node's clock, in ns since 1970.
  uint64_t now() const {
    const auto since = std::chrono::steady_clock::now() - greeted;
    return nodeTime + std::chrono::duration_cast<std::chrono::nanoseconds>(since).count();
  }

  // Returns the offset of the first event. `batch` is 16 bytes, `sentAt` is when it was first sent:
  // sent again with the same, after a lost connection, the batch is not applied a second time.
  uint64_t publish(uint64_t tenant, uint64_t stream, const std::vector<std::string>& payloads,
                   kj::ArrayPtr<const kj::byte> batch, uint64_t sentAt) {
    auto call = streams.publishRequest();
    auto req = call.initReq();
    req.initStream().setTenant(tenant);
    req.getStream().setId(stream);
    req.initExpected().setAny();
    req.setBatchId(batch);
    req.setSentAt(sentAt);
    auto events = req.initEvents(payloads.size());
    for (size_t i = 0; i < payloads.size(); ++i) {
      const std::string& payload = payloads[i];
      events[i].setType("Note");
      events[i].setSchemaVersion(1);
      events[i].setPayload(kj::arrayPtr(
          reinterpret_cast<const kj::byte*>(payload.data()), payload.size()));
    }
    auto answer = call.send().wait(rpc.getWaitScope());
    if (answer.getRes().isRefused()) fail(answer.getRes().getRefused());
    return answer.getRes().getAppended().getBase();
  }

  // Returns the payloads of the whole stream, no older than this call.
  std::vector<std::string> read(uint64_t tenant, uint64_t stream) {
    std::vector<std::string> found;
    uint64_t offset = 0;
    for (;;) {
      auto call = streams.readRequest();
      auto req = call.initReq();
      req.initStream().setTenant(tenant);
      req.getStream().setId(stream);
      req.initFrom().setOffset(offset);
      req.initConsistency().setLinearizable();
      req.setPlain(true);
      auto answer = call.send().wait(rpc.getWaitScope());
      if (answer.getRes().isRefused()) fail(answer.getRes().getRefused());
      auto page = answer.getRes().getPage();
      for (auto item : page.getItems()) {
        if (!item.isEvents()) continue;  // erased
        for (auto event : item.getEvents()) {
          auto payload = event.getPayload();
          found.emplace_back(reinterpret_cast<const char*>(payload.begin()), payload.size());
        }
      }
      offset = page.getNext();
      if (page.getDone()) return found;
    }
  }

private:
  capnp::EzRpcClient rpc;
  Streams::Client streams;
  uint64_t nodeTime = 0;
  std::chrono::steady_clock::time_point greeted;
};

bool publishAndRead(const std::string& address, char** argv) {
  const char* region = argv[2];
  const uint64_t tenant = std::stoull(argv[3]);
  const char* name = argv[4];
  const size_t count = std::stoull(argv[5]);

  Client client(address);
  const uint64_t stream = client.create(tenant, name, region);
  std::vector<std::string> payloads;
  for (size_t i = 0; i < count; ++i) payloads.push_back("note " + std::to_string(i));
  const kj::byte batch[16] = {'p', 'u', 'b', 'l', 'i', 's', 'h', '_', 'r', 'e', 'a', 'd', 1};
  const uint64_t base = client.publish(tenant, stream, payloads, batch, client.now());
  const std::vector<std::string> found = client.read(tenant, stream);
  for (const std::string& payload : found) std::cout << payload << "\n";
  return found.size() >= base + count &&
         std::equal(payloads.begin(), payloads.end(), found.begin() + base);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 6) {
    std::cerr << "usage: publish_read HOST:PORT REGION TENANT STREAM COUNT\n";
    return 2;
  }
  std::string address = argv[1];
  for (int i = 0; i < REDIRECTS_MAX; ++i) {
    try {
      return publishAndRead(address, argv) ? 0 : 1;
    } catch (const Redirect& redirect) {
      address = redirect.address;
    } catch (const kj::Exception& error) {
      std::cerr << "connection failed: " << error.getDescription().cStr() << "\n";
      return 1;
    } catch (const std::exception& error) {
      std::cerr << error.what() << "\n";
      return 1;
    }
  }
  std::cerr << "no node leads the group\n";
  return 1;
}
