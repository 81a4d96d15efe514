// dynamic_update_slice: a slice of an array replaced by another array. A key-value cache gets the
// keys of one position this way. If the caller no longer needs the operand, the slice is written in
// its memory: the cost is that of the slice, not that of the array.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;

REGISTER_OP("LapidaryUpdateSlice")
    .Input("x: T")
    .Input("update: T")
    .Input("start: int32")
    .Output("y: T")
    .Attr("T: {float, int32}")
    .Attr("dimension: int")
    .Attr("in_place: bool")
    .SetIsStateful()
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* context) {
      context->set_output(0, context->input(0));
      return absl::OkStatus();
    });

uint8_t* Bytes(const Tensor& tensor) {
  return reinterpret_cast<uint8_t*>(const_cast<char*>(tensor.tensor_data().data()));
}

class LapidaryUpdateSlice : public OpKernel {
 public:
  explicit LapidaryUpdateSlice(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("dimension", &dimension_));
    OP_REQUIRES_OK(context, context->GetAttr("in_place", &in_place_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    const Tensor& update = context->input(1);
    const int rank = x.dims(), d = static_cast<int>(dimension_);
    OP_REQUIRES(context, rank == update.dims() && d >= 0 && d < rank,
                absl::InvalidArgumentError("operands of one rank, and one of its dims"));
    int64_t outer = 1, inner = 4;
    for (int i = 0; i < rank; i++) {
      if (i == d) continue;
      OP_REQUIRES(context, x.dim_size(i) == update.dim_size(i),
                  absl::InvalidArgumentError("the update has the other dims of the array"));
      (i < d ? outer : inner) *= x.dim_size(i);
    }
    const int64_t whole = x.dim_size(d), size = update.dim_size(d);
    OP_REQUIRES(context, size <= whole, absl::InvalidArgumentError("the update fits"));
    const int64_t wanted = context->input(2).scalar<int32_t>()();
    const int64_t start = std::max<int64_t>(0, std::min(wanted, whole - size));

    // The caller knows that no other tensor shares the memory. TensorFlow does not: its eager runtime
    // holds a reference of its own.
    if (in_place_) {
      Write(Bytes(x), Bytes(update), {outer, whole * inner, start * inner, size * inner});
      context->set_output(0, x);
      return;
    }
    Tensor* y = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, x.shape(), &y));
    std::memcpy(Bytes(*y), Bytes(x), outer * whole * inner);
    Write(Bytes(*y), Bytes(update), {outer, whole * inner, start * inner, size * inner});
  }

 private:
  /** In bytes, but for the number of rows. */
  struct Rows {
    int64_t count, stride, offset, length;
  };

  static void Write(uint8_t* to, const uint8_t* from, const Rows& rows) {
    for (int64_t row = 0; row < rows.count; row++)
      std::memcpy(to + row * rows.stride + rows.offset, from + row * rows.length, rows.length);
  }

  int64_t dimension_ = 0;
  bool in_place_ = false;
};

REGISTER_KERNEL_BUILDER(Name("LapidaryUpdateSlice").Device(tensorflow::DEVICE_CPU),
                        LapidaryUpdateSlice);

}  // namespace
