// The functions by which Node plans exchanges and waits for messages; see exchange.h.
#include "common/arguments.h"
#include "exchange.h"
#include "module.h"

#if defined(__linux__)

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <mutex>
#include <string>
#include <utility>

#include "common/checksum.h"

namespace exchange {
namespace {

constexpr int64_t kPage = 4096;

std::mutex registry_mutex;
std::vector<std::shared_ptr<Exchange>> exchanges;
std::vector<std::shared_ptr<Space>> spaces;

std::shared_ptr<Space> FindSpace(int64_t id) {
  std::lock_guard<std::mutex> lock(registry_mutex);
  return id >= 0 && id < static_cast<int64_t>(spaces.size()) ? spaces[id] : nullptr;
}

/** Maps the file of an outbox. The outbox has the file and its size. @returns null on failure */
std::unique_ptr<Outbox> Mapped(std::unique_ptr<Outbox> box) {
  void* data = mmap(nullptr, box->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, box->file, 0);
  if (data == MAP_FAILED) return nullptr;
  box->data = static_cast<char*>(data);
  return box;
}

/** Divides an outbox: the control block, then a region for each size. @returns its bytes */
int64_t DivideOutbox(Space& space, const std::vector<int64_t>& region_bytes) {
  int64_t at = static_cast<int64_t>(region_bytes.size()) * (space.workers + 1) *
               static_cast<int64_t>(sizeof(Counter));
  for (int64_t bytes : region_bytes) {
    at = (at + kPage - 1) / kPage * kPage;
    Region region;
    region.offset = at;
    space.regions.push_back(region);
    at += bytes;
  }
  return at;
}

/**
 * createSpace(self, workers, regionBytes: Float64Array) → [number, file descriptor of the own
 * outbox], or undefined if the allocation fails.
 */
napi_value CreateSpace(napi_env env, napi_callback_info info) {
  napi_value args[3];
  if (!Arguments(env, info, args)) return nullptr;
  auto space = std::make_shared<Space>();
  space->self = static_cast<int32_t>(Int(env, args[0]));
  space->workers = static_cast<int32_t>(Int(env, args[1]));
  auto own = std::make_unique<Outbox>();
  own->bytes = DivideOutbox(*space, Numbers(env, args[2]));
  own->file =
      static_cast<int>(syscall(SYS_memfd_create, "lapidary-outbox", 1u /* close on exec */));
  if (own->file < 0 || ftruncate(own->file, own->bytes) != 0) return nullptr;
  own = Mapped(std::move(own));
  if (own == nullptr) return nullptr;
  const int file = own->file;
  space->outboxes.resize(space->workers);
  space->outboxes[space->self] = std::move(own);
  std::lock_guard<std::mutex> lock(registry_mutex);
  spaces.push_back(std::move(space));
  napi_value result;
  napi_create_array_with_length(env, 2, &result);
  napi_set_element(env, result, 0, MakeInt(env, static_cast<int64_t>(spaces.size()) - 1));
  napi_set_element(env, result, 1, MakeInt(env, file));
  return result;
}

/** Maps the outbox of another worker. @returns null if its size is not `bytes` */
std::unique_ptr<Outbox> OpenFile(const std::string& path, int64_t bytes) {
  auto box = std::make_unique<Outbox>();
  box->bytes = bytes;
  box->file = open(path.c_str(), O_RDWR | O_CLOEXEC);
  struct stat status;
  if (box->file < 0 || fstat(box->file, &status) != 0 || status.st_size != bytes) return nullptr;
  return Mapped(std::move(box));
}

/**
 * openOutbox(space, worker, path) → whether it is mapped. It must have the size of the own outbox.
 */
napi_value OpenOutbox(napi_env env, napi_callback_info info) {
  napi_value args[3];
  if (!Arguments(env, info, args)) return MakeBool(env, false);
  const std::shared_ptr<Space> space = FindSpace(Int(env, args[0]));
  const int64_t worker = Int(env, args[1]);
  if (space == nullptr || worker < 0 || worker >= space->workers || worker == space->self)
    return MakeBool(env, false);
  std::unique_ptr<Outbox> box = OpenFile(Text(env, args[2]), space->outboxes[space->self]->bytes);
  if (box == nullptr) return MakeBool(env, false);
  space->outboxes[worker] = std::move(box);
  return MakeBool(env, true);
}

/** closeSpace(space, exchanges: Float64Array) removes the space and its exchanges. */
napi_value CloseSpace(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  const int64_t id = Int(env, args[0]);
  const std::shared_ptr<Space> space = FindSpace(id);
  if (space == nullptr) return nullptr;
  std::lock_guard<std::mutex> lock(registry_mutex);
  for (int64_t each : Numbers(env, args[1]))
    if (each >= 0 && each < static_cast<int64_t>(exchanges.size())) exchanges[each] = nullptr;
  spaces[id] = nullptr;
  // TensorFlow keeps kernels, and the kernels keep exchanges. The memory is released before them.
  for (auto& box : space->outboxes) box = nullptr;
  return nullptr;
}

/** registerExchange(space, code: Float64Array) → number. The code is that of `encodeExchange`. */
napi_value RegisterExchange(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  auto e = std::make_shared<Exchange>();
  e->space = FindSpace(Int(env, args[0]));
  const std::vector<int64_t> code = Numbers(env, args[1]);
  NumberReader in{code};
  e->region = static_cast<int32_t>(in.Next());
  e->member = static_cast<int32_t>(in.Next());
  e->reduction = static_cast<int32_t>(in.Next());
  e->part = in.Next();
  for (int64_t worker : in.List()) e->group.push_back(static_cast<int32_t>(worker));
  e->dims = in.List();
  e->splits = in.Next() != 0;
  if (e->splits) e->split = in.ReadSegments();
  if (e->reduction == kJoin) e->join = in.ReadSegments();
  if (e->space == nullptr || in.at != code.size() || e->group.size() < 2 ||
      e->region >= static_cast<int64_t>(e->space->regions.size())) {
    napi_throw_error(env, nullptr, "the code of the exchange is malformed");
    return nullptr;
  }
  std::lock_guard<std::mutex> lock(registry_mutex);
  exchanges.push_back(std::move(e));
  return MakeInt(env, static_cast<int64_t>(exchanges.size()) - 1);
}

/** canSend(exchange, timeout_us) → whether the readers of the previous message are done. */
napi_value CanSend(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  const std::shared_ptr<Exchange> e = FindExchange(Int(env, args[0]));
  if (e == nullptr) return MakeBool(env, false);
  const int64_t timeout_us = Int(env, args[1]);
  const Space& space = *e->space;
  const Region& region = space.regions[e->region];
  for (int32_t reader : region.readers)
    if (!WaitFor(space.Done(space.self, e->region, reader), region.uses, timeout_us))
      return MakeBool(env, false);
  return MakeBool(env, true);
}

/** canReceive(exchange, timeout_us) → whether all parts have arrived. */
napi_value CanReceive(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  const std::shared_ptr<Exchange> e = FindExchange(Int(env, args[0]));
  if (e == nullptr) return MakeBool(env, false);
  const int64_t timeout_us = Int(env, args[1]);
  const Space& space = *e->space;
  for (int32_t worker : e->group)
    if (!WaitFor(space.Ready(worker, e->region), space.regions[e->region].uses, timeout_us))
      return MakeBool(env, false);
  return MakeBool(env, true);
}

/** damagedBy(exchange) → the sender of a message with a wrong checksum, or -1. */
napi_value DamagedBy(napi_env env, napi_callback_info info) {
  napi_value args[1];
  if (!Arguments(env, info, args)) return nullptr;
  const std::shared_ptr<Exchange> e = FindExchange(Int(env, args[0]));
  return MakeInt(env, e == nullptr ? -1 : e->damaged_by.load());
}

/** crc32(bytes: Uint8Array, previous) → the checksum, continued from that of the bytes before. */
napi_value Crc32(napi_env env, napi_callback_info info) {
  napi_value args[2];
  Bytes bytes;
  if (!Arguments(env, info, args) || !ReadBytes(env, args[0], bytes)) return nullptr;
  const uint32_t previous = static_cast<uint32_t>(Int(env, args[1]));
  return MakeInt(env, checksum::Crc32(bytes.data, bytes.length, previous));
}

}  // namespace

std::shared_ptr<Exchange> FindExchange(int64_t id) {
  std::lock_guard<std::mutex> lock(registry_mutex);
  return id >= 0 && id < static_cast<int64_t>(exchanges.size()) ? exchanges[id] : nullptr;
}

}  // namespace exchange

void ExportExchange(napi_env env, napi_value exports) {
  ExportFunctions(env, exports,
                  {{"createSpace", exchange::CreateSpace},
                   {"openOutbox", exchange::OpenOutbox},
                   {"closeSpace", exchange::CloseSpace},
                   {"registerExchange", exchange::RegisterExchange},
                   {"canSend", exchange::CanSend},
                   {"canReceive", exchange::CanReceive},
                   {"damagedBy", exchange::DamagedBy},
                   {"crc32", exchange::Crc32}});
}

#else

/** On other systems workers send messages through sockets. */
void ExportExchange(napi_env, napi_value) {}

#endif
