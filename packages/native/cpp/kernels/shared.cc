// What workers of one machine send each other, through memory that they share: the sender writes a message once, where all receivers read it.
//
// Each worker has an outbox for each program: memory of its own, which the others map. Its messages lie in regions, chosen at load so that no two that are in
// flight at once have the same. A region counts its uses; all workers run the same program, so all count alike.
//
//     outbox    │ control: for each region   ready │ done by worker 0, sum for it │ done by worker 1, sum for it │ …      │ region 0 │ region 1 │ …
//
//     send use u      waits until the readers of use u-1 are done      writes, sums       ready ← u      wakes who waits
//     receive use u   waits until ready ≥ u on each sender             sums, reads        done ← u       wakes who waits
//
// A message is summed (CRC-32, continued from the number of its use) by who wrote it, for each of its readers, and by each reader as it reads: a bit that was
// flipped on the way, a message of another use, or one that is written while it is read, is an error of the step. Both sums are made by pieces that the
// first-level cache holds just then.
//
// Waiting sleeps in the kernel (futex) for a bounded time and then tells the caller, who looks after its event loop and comes again: a peer that died is heard
// of through its channel, never here.
#include "common/checksum.h"
#include "shared.h"

#include "common/arguments.h"
#include "cut.h"

#if defined(__linux__)

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace {

using tensorflow::DT_FLOAT;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

/** A counter and how many sleep on it, on a cache line of their own. */
struct alignas(64) Counter {
  std::atomic<uint32_t> value;
  std::atomic<uint32_t> waiting;
  /** What the sender says that the latest message for this reader sums to. */
  uint32_t sum;
};

inline bool Reached(const Counter& counter, uint32_t target) {
  return static_cast<int32_t>(counter.value.load(std::memory_order_acquire) - target) >= 0;
}

/** Sleeps until the counter has reached the target; false when `timeout_us` went by. */
bool WaitFor(Counter& counter, uint32_t target, int64_t timeout_us) {
  for (int i = 0; i < 200; i++) {
    if (Reached(counter, target)) return true;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t deadline = now.tv_sec * 1000000000ll + now.tv_nsec + timeout_us * 1000;
  for (;;) {
    counter.waiting.fetch_add(1);
    const uint32_t seen = counter.value.load();
    if (static_cast<int32_t>(seen - target) >= 0) {
      counter.waiting.fetch_sub(1);
      return true;
    }
    clock_gettime(CLOCK_MONOTONIC, &now);
    const int64_t left = deadline - (now.tv_sec * 1000000000ll + now.tv_nsec);
    if (left > 0) {
      const timespec timeout = {static_cast<time_t>(left / 1000000000), static_cast<long>(left % 1000000000)};
      syscall(SYS_futex, reinterpret_cast<uint32_t*>(&counter.value), FUTEX_WAIT, seen, &timeout, nullptr, 0);
    }
    counter.waiting.fetch_sub(1);
    if (Reached(counter, target)) return true;
    if (left <= 0) return false;
  }
}

void Reach(Counter& counter, uint32_t value) {
  counter.value.store(value);
  if (counter.waiting.load() > 0) syscall(SYS_futex, reinterpret_cast<uint32_t*>(&counter.value), FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
}

/** A worker's outbox, mapped. */
struct Outbox {
  char* data = nullptr;
  int64_t bytes = 0;
  int file = -1;
  ~Outbox() {
    if (data != nullptr) munmap(data, bytes);
    if (file >= 0) close(file);
  }
};

struct Region {
  int64_t offset = 0;
  uint32_t uses = 0;
  /** Of the latest use. */
  std::vector<int32_t> readers;
};

/** What a program's workers share. */
struct Space {
  int32_t self = 0, workers = 0;
  std::vector<std::unique_ptr<Outbox>> outboxes;  // by rank
  std::vector<Region> regions;

  Counter* Control(int32_t worker, int32_t region) const {
    return reinterpret_cast<Counter*>(outboxes[worker]->data) + static_cast<int64_t>(region) * (workers + 1);
  }
  Counter& Ready(int32_t worker, int32_t region) const { return Control(worker, region)[0]; }
  Counter& Done(int32_t worker, int32_t region, int32_t reader) const { return Control(worker, region)[1 + reader]; }
  char* Data(int32_t worker, int32_t region) const { return outboxes[worker]->data + regions[region].offset; }
};

enum Reduction : int32_t { kJoin = 0, kSum = 1, kMax = 2, kMin = 3 };

/** One collective of a program. */
struct Crossing {
  std::shared_ptr<Space> space;
  int32_t region = 0, member = 0, reduction = kJoin;
  int64_t part = 0;  // numbers
  std::vector<int32_t> group;
  bool cuts = false;
  Cut cut, join;
  std::vector<int64_t> dims;  // of the result
  /** Who sent what did not sum to what it should. */
  std::atomic<int32_t> damaged_by{-1};
};

std::mutex crossings_mutex;
std::vector<std::shared_ptr<Crossing>> crossings;
std::vector<std::shared_ptr<Space>> spaces;

std::shared_ptr<Crossing> FindCrossing(int64_t id) {
  std::lock_guard<std::mutex> lock(crossings_mutex);
  return id >= 0 && id < static_cast<int64_t>(crossings.size()) ? crossings[id] : nullptr;
}

/** So many numbers are summed while the first-level cache holds them. */
constexpr int64_t kPiece = 4096;

/** The checksum of a message, made piece by piece. */
struct Summing {
  const uint32_t* at;
  const uint32_t* const end;
  uint32_t sum;
  Summing(const uint32_t* begin, int64_t numbers, uint32_t use) : at(begin), end(begin + numbers), sum(use) {}
  void Take(int64_t numbers) {
    sum = checksum::Crc32(at, numbers * 4, sum);
    at += numbers;
  }
  /** All before `written` is there. */
  void Follow(const uint32_t* written) {
    if (written == end) Take(end - at);
    while (written - at >= kPiece) Take(kPiece);
  }
  /** All before `read` is about to be read. */
  void Lead(const uint32_t* read) {
    while (at < read && at < end) Take(std::min<int64_t>(kPiece, end - at));
  }
};

/** Copies between a part, whose numbers follow one another, and as many in the whole. */
template <bool toPart>
void CopyRun(uint32_t* whole, uint32_t* part, int64_t numbers, Summing& summing) {
  for (int64_t at = 0; at < numbers; at += kPiece) {
    const int64_t n = std::min(kPiece, numbers - at);
    if (toPart) {
      std::memcpy(part + at, whole + at, n * 4);
      summing.Follow(part + at + n);
    } else {
      summing.Lead(part + at + n);
      std::memcpy(whole + at, part + at, n * 4);
    }
  }
}

/** Copies between a part and its places in the whole. */
template <bool toPart>
void CopyPart(const Cut& cut, int64_t base, uint32_t* whole, uint32_t* part, Summing& summing) {
  ForEachRun(cut, base, [&](int64_t at) {
    CopyRun<toPart>(whole + at, part, cut.run, summing);
    part += cut.run;
  });
}

template <typename T>
void Combine(T* out, const T* a, const T* b, int64_t n, int32_t reduction) {
  if (reduction == kSum) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) out[i] = a[i] + b[i];
  } else if (reduction == kMax) {
    for (int64_t i = 0; i < n; i++) out[i] = !(b[i] <= a[i]) && a[i] == a[i] ? b[i] : a[i];
  } else {
    for (int64_t i = 0; i < n; i++) out[i] = !(b[i] >= a[i]) && a[i] == a[i] ? b[i] : a[i];
  }
}

absl::Status SendShape(tensorflow::shape_inference::InferenceContext* context) {
  context->set_output(0, context->Scalar());
  return absl::OkStatus();
}

REGISTER_OP("LapidarySend").Input("x: T").Output("sent: int32").Attr("T: {float, int32}").Attr("exchange: int").SetIsStateful().SetShapeFn(SendShape);

/** For fault injection: what others read has one bit that differs from what the checksum covers. */
REGISTER_OP("LapidarySendCorrupted").Input("x: T").Output("sent: int32").Attr("T: {float, int32}").Attr("exchange: int").SetIsStateful().SetShapeFn(SendShape);

REGISTER_OP("LapidaryReceive")
    .Output("y: T")
    .Attr("T: {float, int32}")
    .Attr("exchange: int")
    .SetIsStateful()
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* context) {
      context->set_output(0, context->UnknownShape());
      return absl::OkStatus();
    });

class CrossingOp : public OpKernel {
 public:
  explicit CrossingOp(OpKernelConstruction* context) : OpKernel(context) {
    int64_t id;
    OP_REQUIRES_OK(context, context->GetAttr("exchange", &id));
    crossing_ = FindCrossing(id);
    OP_REQUIRES(context, crossing_ != nullptr, absl::InvalidArgumentError("no such crossing"));
  }

 protected:
  std::shared_ptr<Crossing> crossing_;
};

template <bool Corrupted>
class LapidarySend : public CrossingOp {
 public:
  using CrossingOp::CrossingOp;
  void Compute(OpKernelContext* context) override {
    Crossing& c = *crossing_;
    Space& space = *c.space;
    Region& region = space.regions[c.region];
    const Tensor& x = context->input(0);
    const int64_t wanted = c.part * (c.cuts ? static_cast<int64_t>(c.group.size()) : 1);
    OP_REQUIRES(context, x.NumElements() == wanted, absl::InvalidArgumentError("a message has the size that was planned"));
    uint32_t* to = reinterpret_cast<uint32_t*>(space.Data(space.self, c.region));
    uint32_t* from = reinterpret_cast<uint32_t*>(const_cast<char*>(x.tensor_data().data()));
    const uint32_t use = region.uses + 1;
    auto tell = [&](int32_t worker, const Summing& summing) { space.Done(space.self, c.region, worker).sum = summing.sum; };
    if (c.cuts) {
      for (size_t m = 0; m < c.group.size(); m++) {
        uint32_t* part = to + static_cast<int64_t>(m) * c.part;
        Summing summing(part, c.part, use);
        CopyPart<true>(c.cut, c.cut.bases[m], from, part, summing);
        tell(c.group[m], summing);
      }
    } else {
      Summing summing(to, c.part, use);
      CopyRun<true>(from, to, c.part, summing);
      for (int32_t worker : c.group) tell(worker, summing);
    }
    region.readers.clear();
    for (int32_t worker : c.group) if (worker != space.self) region.readers.push_back(worker);
    if constexpr (Corrupted) to[(c.cuts && c.member == 0 ? c.part : 0) + c.part / 2] ^= 1u << 19;
    region.uses = use;
    Reach(space.Ready(space.self, c.region), use);
    Tensor* sent = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({}), &sent));
    sent->scalar<int32_t>()() = 0;
  }
};

template <typename T>
class LapidaryReceive : public CrossingOp {
 public:
  using CrossingOp::CrossingOp;
  void Compute(OpKernelContext* context) override {
    Crossing& c = *crossing_;
    Space& space = *c.space;
    const uint32_t use = space.regions[c.region].uses;
    Tensor* result = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape(c.dims), &result));
    T* out = result->flat<T>().data();
    auto partOf = [&](size_t m) { return reinterpret_cast<T*>(space.Data(c.group[m], c.region)) + (c.cuts ? c.member * c.part : 0); };
    for (int32_t worker : c.group) OP_REQUIRES(context, Reached(space.Ready(worker, c.region), use), absl::InternalError("a message is read when it has come"));
    // What this worker wrote itself has not travelled.
    std::vector<Summing> summing;
    for (size_t m = 0; m < c.group.size(); m++)
      summing.emplace_back(reinterpret_cast<uint32_t*>(partOf(m)), c.group[m] == space.self ? 0 : c.part, use);
    if (c.reduction == kJoin) {
      for (size_t m = 0; m < c.group.size(); m++) CopyPart<false>(c.join, c.join.bases[m], reinterpret_cast<uint32_t*>(out), reinterpret_cast<uint32_t*>(partOf(m)), summing[m]);
    } else {
      for (int64_t at = 0; at < c.part; at += kPiece) {
        const int64_t n = std::min(kPiece, c.part - at);
        for (size_t m = 0; m < c.group.size(); m++) summing[m].Lead(reinterpret_cast<uint32_t*>(partOf(m)) + at + n);
        // In the order of the group, whoever came first: all members get the same bits.
        for (size_t m = 1; m < c.group.size(); m++) Combine<T>(out + at, (m == 1 ? partOf(0) : out) + at, partOf(m) + at, n, c.reduction);
      }
    }
    for (size_t m = 0; m < c.group.size(); m++) {
      if (c.group[m] == space.self || summing[m].sum == space.Done(c.group[m], c.region, space.self).sum) continue;
      c.damaged_by = c.group[m];
      OP_REQUIRES(context, false, absl::DataLossError("a message sums to what its sender says"));
    }
    for (int32_t worker : c.group) if (worker != space.self) Reach(space.Done(worker, c.region, space.self), use);
  }
};

REGISTER_KERNEL_BUILDER(Name("LapidarySend").Device(tensorflow::DEVICE_CPU), LapidarySend<false>);
REGISTER_KERNEL_BUILDER(Name("LapidarySendCorrupted").Device(tensorflow::DEVICE_CPU), LapidarySend<true>);
REGISTER_KERNEL_BUILDER(Name("LapidaryReceive").Device(tensorflow::DEVICE_CPU).TypeConstraint<float>("T"), LapidaryReceive<float>);
REGISTER_KERNEL_BUILDER(Name("LapidaryReceive").Device(tensorflow::DEVICE_CPU).TypeConstraint<int32_t>("T"), LapidaryReceive<int32_t>);

// ---------------------------------------------------------------- from Node

std::shared_ptr<Space> FindSpace(int64_t id) {
  std::lock_guard<std::mutex> lock(crossings_mutex);
  return id >= 0 && id < static_cast<int64_t>(spaces.size()) ? spaces[id] : nullptr;
}

/** createSpace(self, workers, regionBytes: Float64Array) → [id, file descriptor of the own outbox], or undefined where the system gives no memory to share. */
napi_value CreateSpace(napi_env env, napi_callback_info info) {
  napi_value args[3];
  if (!Arguments(env, info, args)) return nullptr;
  auto space = std::make_shared<Space>();
  space->self = static_cast<int32_t>(Int(env, args[0]));
  space->workers = static_cast<int32_t>(Int(env, args[1]));
  const std::vector<int64_t> sizes = Numbers(env, args[2]);
  int64_t at = static_cast<int64_t>(sizes.size()) * (space->workers + 1) * static_cast<int64_t>(sizeof(Counter));
  for (int64_t bytes : sizes) {
    at = (at + 4095) / 4096 * 4096;
    Region region;
    region.offset = at;
    space->regions.push_back(region);
    at += bytes;
  }
  space->outboxes.resize(space->workers);
  auto own = std::make_unique<Outbox>();
  own->bytes = at;
  own->file = static_cast<int>(syscall(SYS_memfd_create, "lapidary-outbox", 1u /* close on exec */));
  if (own->file < 0 || ftruncate(own->file, at) != 0) return nullptr;
  void* data = mmap(nullptr, at, PROT_READ | PROT_WRITE, MAP_SHARED, own->file, 0);
  if (data == MAP_FAILED) return nullptr;
  own->data = static_cast<char*>(data);
  const int file = own->file;
  space->outboxes[space->self] = std::move(own);
  std::lock_guard<std::mutex> lock(crossings_mutex);
  spaces.push_back(space);
  napi_value result;
  napi_create_array_with_length(env, 2, &result);
  napi_set_element(env, result, 0, MakeInt(env, static_cast<int64_t>(spaces.size()) - 1));
  napi_set_element(env, result, 1, MakeInt(env, file));
  return result;
}

/** openOutbox(space, worker, path) → whether it is mapped, and as large as ours. */
napi_value OpenOutbox(napi_env env, napi_callback_info info) {
  napi_value args[3], result;
  napi_get_boolean(env, false, &result);
  if (!Arguments(env, info, args)) return result;
  const std::shared_ptr<Space> space = FindSpace(Int(env, args[0]));
  const int64_t worker = Int(env, args[1]);
  char path[4096];
  size_t length = 0;
  napi_get_value_string_utf8(env, args[2], path, sizeof path, &length);
  if (space == nullptr || worker < 0 || worker >= space->workers || worker == space->self) return result;
  auto box = std::make_unique<Outbox>();
  box->bytes = space->outboxes[space->self]->bytes;
  box->file = open(path, O_RDWR | O_CLOEXEC);
  struct stat status;
  if (box->file < 0 || fstat(box->file, &status) != 0 || status.st_size != box->bytes) return result;
  void* data = mmap(nullptr, box->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, box->file, 0);
  if (data == MAP_FAILED) return result;
  box->data = static_cast<char*>(data);
  space->outboxes[worker] = std::move(box);
  napi_get_boolean(env, true, &result);
  return result;
}

/** closeSpace(space, crossings: Float64Array): they are forgotten; memory goes with the last kernel that knows it. */
napi_value CloseSpace(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  const std::shared_ptr<Space> space = FindSpace(Int(env, args[0]));
  if (space == nullptr) return nullptr;
  std::lock_guard<std::mutex> lock(crossings_mutex);
  for (int64_t id : Numbers(env, args[1])) if (id >= 0 && id < static_cast<int64_t>(crossings.size())) crossings[id] = nullptr;
  spaces[Int(env, args[0])] = nullptr;
  // TensorFlow keeps kernels, which keep crossings: the memory must not wait for them.
  for (auto& box : space->outboxes) box = nullptr;
  return nullptr;
}

/** registerCrossing(space, code: Float64Array) → its number. The code is that of `executor/shared-crossing.ts`. */
napi_value RegisterCrossing(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  auto c = std::make_shared<Crossing>();
  c->space = FindSpace(Int(env, args[0]));
  const std::vector<int64_t> code = Numbers(env, args[1]);
  Reader in{code};
  c->region = static_cast<int32_t>(in.Next());
  c->member = static_cast<int32_t>(in.Next());
  c->reduction = static_cast<int32_t>(in.Next());
  c->part = in.Next();
  for (int64_t worker : in.List()) c->group.push_back(static_cast<int32_t>(worker));
  c->dims = in.List();
  c->cuts = in.Next() != 0;
  if (c->cuts) c->cut = in.ReadCut();
  if (c->reduction == kJoin) c->join = in.ReadCut();
  if (c->space == nullptr || in.at != code.size() || c->region >= static_cast<int64_t>(c->space->regions.size()) || c->group.size() < 2) {
    napi_throw_error(env, nullptr, "this is no crossing");
    return nullptr;
  }
  std::lock_guard<std::mutex> lock(crossings_mutex);
  crossings.push_back(c);
  return MakeInt(env, static_cast<int64_t>(crossings.size()) - 1);
}

/** canSend(crossing, timeout_us) → whether its region is free. */
napi_value CanSend(napi_env env, napi_callback_info info) {
  napi_value args[2], result;
  if (!Arguments(env, info, args)) return nullptr;
  const std::shared_ptr<Crossing> c = FindCrossing(Int(env, args[0]));
  bool free = c != nullptr;
  if (free) {
    Space& space = *c->space;
    const Region& region = space.regions[c->region];
    for (int32_t reader : region.readers) free = free && WaitFor(space.Done(space.self, c->region, reader), region.uses, Int(env, args[1]));
  }
  napi_get_boolean(env, free, &result);
  return result;
}

/** canReceive(crossing, timeout_us) → whether all its parts have come. */
napi_value CanReceive(napi_env env, napi_callback_info info) {
  napi_value args[2], result;
  if (!Arguments(env, info, args)) return nullptr;
  const std::shared_ptr<Crossing> c = FindCrossing(Int(env, args[0]));
  bool come = c != nullptr;
  if (come) {
    Space& space = *c->space;
    for (int32_t worker : c->group) come = come && WaitFor(space.Ready(worker, c->region), space.regions[c->region].uses, Int(env, args[1]));
  }
  napi_get_boolean(env, come, &result);
  return result;
}

/** damagedBy(crossing) → the worker whose message did not sum to what it should, or -1. */
napi_value DamagedBy(napi_env env, napi_callback_info info) {
  napi_value args[1];
  if (!Arguments(env, info, args)) return nullptr;
  const std::shared_ptr<Crossing> c = FindCrossing(Int(env, args[0]));
  return MakeInt(env, c == nullptr ? -1 : c->damaged_by.load());
}

/** crc32(bytes: Uint8Array, sum) → the sum of `bytes`, continued from that of the bytes before them. */
napi_value Crc32(napi_env env, napi_callback_info info) {
  napi_value args[2];
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (!Arguments(env, info, args) || napi_get_typedarray_info(env, args[0], &type, &length, &data, nullptr, nullptr) != napi_ok || type != napi_uint8_array) return nullptr;
  return MakeInt(env, checksum::Crc32(data, length, static_cast<uint32_t>(Int(env, args[1]))));
}

}  // namespace

void ExportShared(napi_env env, napi_value exports) {
  const struct { const char* name; napi_callback call; } functions[] = {
      {"createSpace", CreateSpace}, {"openOutbox", OpenOutbox}, {"closeSpace", CloseSpace}, {"registerExchange", RegisterCrossing}, {"canSend", CanSend}, {"canReceive", CanReceive},
      {"damagedBy", DamagedBy}, {"crc32", Crc32},
  };
  for (const auto& [name, call] : functions) {
    napi_value function;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, call, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  }
}

#else

/** Elsewhere messages go through sockets. */
void ExportShared(napi_env, napi_value) {}

#endif
