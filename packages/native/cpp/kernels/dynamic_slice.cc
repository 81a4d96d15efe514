// dynamic_slice: a slice of an array from a position that is on the device.
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
    .Attr("whole: int")
    .Attr("inner: int")
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
    OP_REQUIRES_OK(context, context->GetAttr("whole", &whole_));
    OP_REQUIRES_OK(context, context->GetAttr("inner", &inner_));
    OP_REQUIRES(context, whole_ > 0 && inner_ > 0, absl::InvalidArgumentError("sizes"));
    OP_REQUIRES_OK(context, context->GetAttr("in_place", &in_place_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    const Tensor& update = context->input(1);
    // The update may be a view with other dims: only its number of elements counts.
    const int64_t whole = whole_, inner = 4 * inner_, outer = x.NumElements() / (whole * inner_);
    const int64_t size = outer == 0 ? 0 : update.NumElements() / (outer * inner_);
    OP_REQUIRES(context,
                x.NumElements() == outer * whole * inner_ &&
                    update.NumElements() == outer * size * inner_ && size <= whole,
                absl::InvalidArgumentError("the update has the other dims of the array, and fits"));
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

  /** Size of the updated dim, and elements after it. */
  int64_t whole_ = 1, inner_ = 1;
  bool in_place_ = false;
};

REGISTER_KERNEL_BUILDER(Name("LapidaryUpdateSlice").Device(tensorflow::DEVICE_CPU),
                        LapidaryUpdateSlice);

REGISTER_OP("LapidarySlice")
    .Input("x: T")
    .Input("start: int32")
    .Output("y: T")
    .Attr("T: {float, int32}")
    .Attr("dimension: int")
    .Attr("size: int")
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* context) {
      context->set_output(0, context->UnknownShape());
      return absl::OkStatus();
    });

class LapidarySlice : public OpKernel {
 public:
  explicit LapidarySlice(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("dimension", &dimension_));
    OP_REQUIRES_OK(context, context->GetAttr("size", &size_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& x = context->input(0);
    const int d = static_cast<int>(dimension_);
    OP_REQUIRES(context, d >= 0 && d < x.dims() && size_ > 0 && size_ <= x.dim_size(d),
                absl::InvalidArgumentError("the slice is inside the array"));
    int64_t outer = 1, inner = 4;
    for (int i = 0; i < x.dims(); i++)
      if (i != d) (i < d ? outer : inner) *= x.dim_size(i);
    const int64_t whole = x.dim_size(d), wanted = context->input(1).scalar<int32_t>()();
    const int64_t start = std::max<int64_t>(0, std::min(wanted, whole - size_));
    tensorflow::TensorShape shape = x.shape();
    shape.set_dim(d, size_);
    Tensor* y = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &y));
    for (int64_t row = 0; row < outer; row++)
      std::memcpy(Bytes(*y) + row * size_ * inner, Bytes(x) + (row * whole + start) * inner,
                  size_ * inner);
  }

 private:
  int64_t dimension_ = 0, size_ = 0;
};

REGISTER_KERNEL_BUILDER(Name("LapidarySlice").Device(tensorflow::DEVICE_CPU), LapidarySlice);

}  // namespace
