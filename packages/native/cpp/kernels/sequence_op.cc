// `LapidarySequence`: several kernels of one program in one call. A call of TensorFlow costs ten
// microseconds, and a kernel of a decode step works for one or two. Arrays between the kernels are
// in scratch memory, whose layout is planned when the program is loaded.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <vector>

#include "fused_runner.h"
#include "large_pages.h"
#include "sequence.h"
#include "strided.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "uniform.h"

namespace sequence {
namespace {

using tensorflow::DT_FLOAT;
using tensorflow::DT_INT32;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

REGISTER_OP("LapidarySequence")
    .Input("floats: NF * float")
    .Input("ints: NI * int32")
    .Input("bools: NB * bool")
    .Output("float_outputs: OF * float")
    .Output("int_outputs: OI * int32")
    .Output("bool_outputs: OB * bool")
    .Attr("NF: int >= 0")
    .Attr("NI: int >= 0")
    .Attr("NB: int >= 0")
    .Attr("OF: int >= 0")
    .Attr("OI: int >= 0")
    .Attr("OB: int >= 0")
    .Attr("sequence: int")
    .Attr("in_place: bool")
    .SetIsStateful()
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* context) {
      for (int i = 0; i < context->num_outputs(); i++)
        context->set_output(i, context->UnknownShape());
      return absl::OkStatus();
    });

int64_t Start(const void* start, int64_t size, int64_t whole) {
  const int64_t wanted = *static_cast<const int32_t*>(start);
  return std::max<int64_t>(0, std::min(wanted, whole - size));
}

template <typename T, typename Combine>
void ReduceMiddle(const std::vector<int64_t>& numbers, const T* x, T* y, Combine combine) {
  const int64_t outer = numbers[1], size = numbers[2], inner = numbers[3];
  for (int64_t o = 0; o < outer; o++, x += size * inner)
    for (int64_t i = 0; i < inner; i++) {
      T all = x[i];
      for (int64_t s = 1; s < size; s++) all = combine(all, x[s * inner + i]);
      *y++ = all;
    }
}

void ReduceIntegers(const std::vector<int64_t>& numbers, const int32_t* x, int32_t* y) {
  if (numbers[0] == 0)
    ReduceMiddle(numbers, x, y, [](int32_t a, int32_t b) {
      return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
    });
  else if (numbers[0] == 1)
    ReduceMiddle(numbers, x, y, [](int32_t a, int32_t b) { return std::max(a, b); });
  else
    ReduceMiddle(numbers, x, y, [](int32_t a, int32_t b) { return std::min(a, b); });
}

/** Maxima or minima of floats. */
template <int32_t code>
void ReduceFloats(const std::vector<int64_t>& numbers, const float* x, float* y) {
  if (numbers[3] != 1)
    return ReduceMiddle(numbers, x, y, [](float a, float b) { return Formula(Op<code>{}, a, b); });
  for (int64_t o = 0; o < numbers[1]; o++) y[o] = ReduceRow<code>(x + o * numbers[2], numbers[2]);
}

class LapidarySequence : public OpKernel {
 public:
  explicit LapidarySequence(OpKernelConstruction* context) : OpKernel(context) {
    int64_t id;
    OP_REQUIRES_OK(context, context->GetAttr("sequence", &id));
    OP_REQUIRES_OK(context, context->GetAttr("in_place", &in_place_));
    sequence_ = FindSequence(id);
    OP_REQUIRES(context, sequence_ != nullptr, absl::InvalidArgumentError("no such sequence"));
    // A position of 64 bytes more, so that the memory can begin on such a boundary.
    scratch_.resize(sequence_->scratch + 64);
    memory_.resize(sequence_->values.size());
    runners_.resize(sequence_->calls.size());
    for (size_t c = 0; c < runners_.size(); c++)
      if (sequence_->calls[c].kind == kFusedCall)
        runners_[c] = std::make_unique<FusedRunner>(sequence_->calls[c].program);
  }

  void Compute(OpKernelContext* context) override {
    std::lock_guard<std::mutex> lock(mutex_);
    OP_REQUIRES(context, context->num_inputs() == sequence_->inputs,
                absl::InvalidArgumentError("operand count"));
    std::vector<uint8_t*> outputs;
    for (size_t o = 0; o < sequence_->outputs.size(); o++) {
      const OutputArray& output = sequence_->outputs[o];
      const int index = static_cast<int>(o);
      if (in_place_ && output.alias >= 0) {
        const Tensor& x = context->input(output.alias);
        context->set_output(index, x);
        outputs.push_back(Bytes(x));
        continue;
      }
      Tensor* tensor = nullptr;
      OP_REQUIRES_OK(context, context->allocate_output(index, TensorShape(output.dims), &tensor));
      outputs.push_back(Bytes(*tensor));
    }
    uint8_t* scratch = scratch_.data();
    while (reinterpret_cast<uintptr_t>(scratch) % 64 != 0) scratch++;
    for (size_t v = 0; v < memory_.size(); v++) {
      const Value& value = sequence_->values[v];
      if (value.place != kOfInput) {
        memory_[v] = value.place == kOfOutput ? outputs[value.at] : scratch + value.at;
        continue;
      }
      const Tensor& x = context->input(static_cast<int>(value.at));
      const int32_t type = x.dtype() == DT_FLOAT ? kFloat : x.dtype() == DT_INT32 ? kInt : kBool;
      OP_REQUIRES(context, x.NumElements() == value.elements && type == value.type,
                  absl::InvalidArgumentError("operands have the sizes of the plan"));
      memory_[v] = Bytes(x);
      // The runs of a sequence read the same weights and cache.
      if (value.Bytes() >= large_pages::kLeastBytes) large_pages::Use(memory_[v], value.Bytes());
    }
    for (size_t c = 0; c < runners_.size(); c++) Run(sequence_->calls[c], runners_[c].get());
  }

 private:
  static uint8_t* Bytes(const Tensor& tensor) {
    return reinterpret_cast<uint8_t*>(const_cast<char*>(tensor.tensor_data().data()));
  }

  template <typename T = float>
  const T* In(const Call& call, size_t i) const {
    return reinterpret_cast<const T*>(memory_[call.operands[i]]);
  }
  template <typename T = float>
  T* Out(const Call& call) const {
    return reinterpret_cast<T*>(memory_[call.results[0]]);
  }

  void Run(const Call& call, FusedRunner* runner) {
    const std::vector<int64_t>& n = call.numbers;
    switch (call.kind) {
      case kFusedCall:
        arrays_.clear();
        results_.clear();
        for (int32_t v : call.operands)
          arrays_.push_back({memory_[v], static_cast<ArrayType>(sequence_->values[v].type)});
        for (int32_t v : call.results) results_.push_back(reinterpret_cast<float*>(memory_[v]));
        return runner->Run(arrays_.data(), results_.data());
      case kDotCall:
        return dot::Multiply(*call.dot, In(call, 0), In(call, 1), Out(call));
      case kUpdateSliceCall:
        return UpdateSlice(call, 4 * n[1]);
      case kSliceCall: {
        const int64_t inner = 4 * n[1], whole = n[0] * inner, size = n[2] * inner;
        const uint8_t* from = In<uint8_t>(call, 0) + Start(In(call, 1), n[2], n[0]) * inner;
        uint8_t* to = Out<uint8_t>(call);
        const uint8_t* const end = to + sequence_->values[call.results[0]].Bytes();
        for (; to != end; to += size, from += whole) std::memcpy(to, from, size);
        return;
      }
      case kGatherCall: {
        const int64_t width = 4 * n[2], count = sequence_->values[call.operands[1]].elements;
        uint8_t* to = Out<uint8_t>(call);
        for (int64_t i = 0; i < count; i++, to += width) {
          // Rows of other parts of the table are zero.
          const int64_t row = In<int32_t>(call, 1)[i] - n[0];
          if (row >= 0 && row < n[1])
            std::memcpy(to, In<uint8_t>(call, 0) + row * width, width);
          else
            std::memset(to, 0, width);
        }
        return;
      }
      case kReduceCall:
        if (sequence_->values[call.results[0]].type == kInt)
          return ReduceIntegers(n, In<int32_t>(call, 0), Out<int32_t>(call));
        return n[0] == 1 ? ReduceFloats<kMaximum>(n, In(call, 0), Out(call))
                         : ReduceFloats<kMinimum>(n, In(call, 0), Out(call));
      case kUniformCall:
        return uniform::Fill(*In<int32_t>(call, 0),
                             {In<int32_t>(call, 1), sequence_->values[call.operands[1]].elements},
                             {In<int32_t>(call, 2), sequence_->values[call.operands[2]].elements},
                             Out(call));
      default:
        return Strided(call);
    }
  }

  void UpdateSlice(const Call& call, int64_t inner) const {
    const int64_t whole = call.numbers[0] * inner;
    const uint8_t* x = In<uint8_t>(call, 0);
    const uint8_t* update = In<uint8_t>(call, 1);
    uint8_t* to = Out<uint8_t>(call);
    const int64_t bytes = sequence_->values[call.results[0]].Bytes(), outer = bytes / whole;
    const int64_t size = sequence_->values[call.operands[1]].Bytes() / outer;
    const int64_t start = Start(In(call, 2), size / inner, call.numbers[0]) * inner;
    if (to != x) std::memcpy(to, x, bytes);
    for (int64_t row = 0; row < outer; row++)
      std::memcpy(to + row * whole + start, update + row * size, size);
  }

  void Strided(const Call& call) const {
    const int64_t code = call.numbers[0], rank = call.numbers[1];
    const int64_t* const dims = call.numbers.data() + 2;
    strided::Layout layout = {rank, dims, {}};
    const void* x[3] = {};
    for (size_t i = 0; i < call.operands.size(); i++) {
      layout.operands[i] = dims + rank + static_cast<int64_t>(i) * (1 + rank);
      x[i] = In<void>(call, i);
    }
    void* const y = Out<void>(call);
    const int32_t type = sequence_->values[call.operands[0]].type;
    const int32_t to = sequence_->values[call.results[0]].type;
    if (code == kSelect)
      return to == kBool ? strided::Select<uint8_t>(layout, y, x[0], x[1], x[2])
                         : strided::Select<uint32_t>(layout, y, x[0], x[1], x[2]);
    if (code == kCopyOperation) {
      const auto same = [](auto v) { return v; };
      return to == kBool ? strided::Unary<uint8_t, uint8_t>(layout, y, x[0], same)
                         : strided::Unary<uint32_t, uint32_t>(layout, y, x[0], same);
    }
    if (code == kConvertOperation)
      return type == kInt    ? ConvertTo<int32_t>(to, layout, y, x[0])
             : type == kBool ? ConvertTo<uint8_t>(to, layout, y, x[0])
                             : ConvertTo<float>(to, layout, y, x[0]);
    if (code == kAnd)
      return strided::Binary<uint8_t, uint8_t>(layout, y, x[0], x[1],
                                               [](uint8_t a, uint8_t b) { return a & b; });
    const bool compared = type == kFloat ? strided::Compare<float>(code, layout, y, x[0], x[1])
                          : type == kInt ? strided::Compare<int32_t>(code, layout, y, x[0], x[1])
                                         : strided::Compare<uint8_t>(code, layout, y, x[0], x[1]);
    if (compared) return;
    if (to == kInt)
      strided::Integers(code, layout, y, x[0], x[1]);
    else
      strided::Floats(code, layout, y, x[0], x[1]);
  }

  /** Numbers other than 0 are true. f32 is truncated towards zero. */
  template <typename From>
  static void ConvertTo(int32_t to, const strided::Layout& layout, void* y, const void* x) {
    if (to == kFloat)
      strided::Unary<float, From>(layout, y, x, [](From v) { return static_cast<float>(v); });
    else if (to == kInt)
      strided::Unary<int32_t, From>(layout, y, x, [](From v) { return static_cast<int32_t>(v); });
    else
      strided::Unary<uint8_t, From>(layout, y, x, [](From v) { return v != 0; });
  }

  std::shared_ptr<const Sequence> sequence_;
  bool in_place_ = false;
  std::vector<uint8_t> scratch_;
  /** By value. */
  std::vector<uint8_t*> memory_;
  /** By call: null if the call is not fused. */
  std::vector<std::unique_ptr<FusedRunner>> runners_;
  std::vector<Array> arrays_;
  std::vector<float*> results_;
  std::mutex mutex_;
};

REGISTER_KERNEL_BUILDER(Name("LapidarySequence").Device(tensorflow::DEVICE_CPU), LapidarySequence);

}  // namespace
}  // namespace sequence
