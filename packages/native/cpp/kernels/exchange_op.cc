// TensorFlow ops that send and receive the messages of exchange.h.
#include "exchange.h"

#if defined(__linux__)

#include <algorithm>
#include <cstring>
#include <vector>

#include "common/checksum.h"
#include "common/loops.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace exchange {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

/** Elements that are checksummed while the first-level cache has them. */
constexpr int64_t kPiece = 4096;

/** The checksum of a message, computed piece by piece. */
class MessageChecksum {
 public:
  MessageChecksum(const uint32_t* begin, int64_t elements, uint32_t use)
      : at_(begin), end_(begin + elements), value_(use) {}

  uint32_t value() const { return value_; }

  /** Called when all bytes before `written` are written. */
  void Follow(const uint32_t* written) {
    if (written == end_) Add(end_ - at_);
    while (written - at_ >= kPiece) Add(kPiece);
  }

  /** Called before the bytes before `read` are read. */
  void Lead(const uint32_t* read) {
    while (at_ < read && at_ < end_) Add(std::min<int64_t>(kPiece, end_ - at_));
  }

 private:
  void Add(int64_t elements) {
    value_ = checksum::Crc32(at_, elements * 4, value_);
    at_ += elements;
  }

  const uint32_t* at_;
  const uint32_t* const end_;
  uint32_t value_;
};

/** Copies between a part, whose elements are consecutive, and a segment of the whole. */
template <bool toPart>
void CopySegment(uint32_t* whole, uint32_t* part, int64_t elements, MessageChecksum& checksum) {
  for (int64_t at = 0; at < elements; at += kPiece) {
    const int64_t n = std::min(kPiece, elements - at);
    if (toPart) {
      std::memcpy(part + at, whole + at, n * 4);
      checksum.Follow(part + at + n);
    } else {
      checksum.Lead(part + at + n);
      std::memcpy(whole + at, part + at, n * 4);
    }
  }
}

/** Copies between a part and its segments of the whole. */
template <bool toPart>
void CopyPart(const Segments& segments, int64_t base, uint32_t* whole, uint32_t* part,
              MessageChecksum& checksum) {
  ForEachSegment(segments, base, [&](int64_t at) {
    CopySegment<toPart>(whole + at, part, segments.length, checksum);
    part += segments.length;
  });
}

template <typename T>
void Combine(T* out, const T* a, const T* b, int64_t n, int32_t reduction) {
  if (reduction == kSum) {
    LAPIDARY_INDEPENDENT
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

REGISTER_OP("LapidarySend")
    .Input("x: T")
    .Output("sent: int32")
    .Attr("T: {float, int32}")
    .Attr("exchange: int")
    .SetIsStateful()
    .SetShapeFn(SendShape);

/** For fault injection: one bit of the message differs from the bytes of the checksum. */
REGISTER_OP("LapidarySendCorrupted")
    .Input("x: T")
    .Output("sent: int32")
    .Attr("T: {float, int32}")
    .Attr("exchange: int")
    .SetIsStateful()
    .SetShapeFn(SendShape);

REGISTER_OP("LapidaryReceive")
    .Output("y: T")
    .Attr("T: {float, int32}")
    .Attr("exchange: int")
    .SetIsStateful()
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* context) {
      context->set_output(0, context->UnknownShape());
      return absl::OkStatus();
    });

class ExchangeOp : public OpKernel {
 public:
  explicit ExchangeOp(OpKernelConstruction* context) : OpKernel(context) {
    int64_t id;
    OP_REQUIRES_OK(context, context->GetAttr("exchange", &id));
    exchange_ = FindExchange(id);
    OP_REQUIRES(context, exchange_ != nullptr, absl::InvalidArgumentError("no such exchange"));
  }

 protected:
  std::shared_ptr<Exchange> exchange_;
};

template <bool Corrupted>
class LapidarySend : public ExchangeOp {
 public:
  using ExchangeOp::ExchangeOp;

  void Compute(OpKernelContext* context) override {
    const Exchange& e = *exchange_;
    Space& space = *e.space;
    Region& region = space.regions[e.region];
    const Tensor& x = context->input(0);
    const int64_t parts = e.splits ? static_cast<int64_t>(e.group.size()) : 1;
    OP_REQUIRES(context, x.NumElements() == e.part * parts,
                absl::InvalidArgumentError("a message has the planned size"));
    uint32_t* to = reinterpret_cast<uint32_t*>(space.Data(space.self, e.region));
    Write(reinterpret_cast<uint32_t*>(const_cast<char*>(x.tensor_data().data())), to,
          region.uses + 1);
    region.readers.clear();
    for (int32_t worker : e.group)
      if (worker != space.self) region.readers.push_back(worker);
    // A bit of the part of another member.
    if constexpr (Corrupted) to[(e.splits && e.member == 0 ? e.part : 0) + e.part / 2] ^= 1u << 19;
    region.uses++;
    Advance(space.Ready(space.self, e.region), region.uses);
    Tensor* sent = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape({}), &sent));
    sent->scalar<int32_t>()() = 0;
  }

 private:
  /** Writes the message and its checksum for each reader. */
  void Write(uint32_t* from, uint32_t* to, uint32_t use) const {
    const Exchange& e = *exchange_;
    const Space& space = *e.space;
    if (!e.splits) {
      MessageChecksum checksum(to, e.part, use);
      CopySegment<true>(from, to, e.part, checksum);
      for (int32_t worker : e.group)
        space.Done(space.self, e.region, worker).checksum = checksum.value();
      return;
    }
    for (size_t m = 0; m < e.group.size(); m++) {
      uint32_t* part = to + static_cast<int64_t>(m) * e.part;
      MessageChecksum checksum(part, e.part, use);
      CopyPart<true>(e.split, e.split.bases[m], from, part, checksum);
      space.Done(space.self, e.region, e.group[m]).checksum = checksum.value();
    }
  }
};

template <typename T>
class LapidaryReceive : public ExchangeOp {
 public:
  using ExchangeOp::ExchangeOp;

  void Compute(OpKernelContext* context) override {
    Exchange& e = *exchange_;
    const Space& space = *e.space;
    const uint32_t use = space.regions[e.region].uses;
    Tensor* result = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape(e.dims), &result));
    for (int32_t worker : e.group)
      OP_REQUIRES(context, HasReached(space.Ready(worker, e.region), use),
                  absl::InternalError("a message is read after it has arrived"));
    // The own message did not leave this process, so it is not verified.
    std::vector<MessageChecksum> checksums;
    for (size_t m = 0; m < e.group.size(); m++)
      checksums.emplace_back(Bits(PartOf(m)), e.group[m] == space.self ? 0 : e.part, use);
    Read(result->flat<T>().data(), checksums);
    for (size_t m = 0; m < e.group.size(); m++) {
      const int32_t sender = e.group[m];
      if (sender == space.self) continue;
      if (checksums[m].value() == space.Done(sender, e.region, space.self).checksum) continue;
      e.damaged_by = sender;
      OP_REQUIRES(context, false,
                  absl::DataLossError("a message has the checksum that its sender wrote"));
    }
    for (int32_t worker : e.group)
      if (worker != space.self) Advance(space.Done(worker, e.region, space.self), use);
  }

 private:
  static uint32_t* Bits(T* elements) { return reinterpret_cast<uint32_t*>(elements); }

  /** The part that member `m` of the group sends to this worker. */
  T* PartOf(size_t m) const {
    const Exchange& e = *exchange_;
    T* message = reinterpret_cast<T*>(e.space->Data(e.group[m], e.region));
    return message + (e.splits ? e.member * e.part : 0);
  }

  /** Combines the parts of all members. */
  void Read(T* out, std::vector<MessageChecksum>& checksums) const {
    const Exchange& e = *exchange_;
    if (e.reduction == kJoin) {
      for (size_t m = 0; m < e.group.size(); m++)
        CopyPart<false>(e.join, e.join.bases[m], Bits(out), Bits(PartOf(m)), checksums[m]);
      return;
    }
    for (int64_t at = 0; at < e.part; at += kPiece) {
      const int64_t n = std::min(kPiece, e.part - at);
      for (size_t m = 0; m < e.group.size(); m++) checksums[m].Lead(Bits(PartOf(m)) + at + n);
      // In the order of the group, not of arrival, so that all members compute the same bits.
      for (size_t m = 1; m < e.group.size(); m++)
        Combine<T>(out + at, (m == 1 ? PartOf(0) : out) + at, PartOf(m) + at, n, e.reduction);
    }
  }
};

REGISTER_KERNEL_BUILDER(Name("LapidarySend").Device(tensorflow::DEVICE_CPU), LapidarySend<false>);
REGISTER_KERNEL_BUILDER(Name("LapidarySendCorrupted").Device(tensorflow::DEVICE_CPU),
                        LapidarySend<true>);
REGISTER_KERNEL_BUILDER(
    Name("LapidaryReceive").Device(tensorflow::DEVICE_CPU).TypeConstraint<float>("T"),
    LapidaryReceive<float>);
REGISTER_KERNEL_BUILDER(
    Name("LapidaryReceive").Device(tensorflow::DEVICE_CPU).TypeConstraint<int32_t>("T"),
    LapidaryReceive<int32_t>);

}  // namespace
}  // namespace exchange

#endif
