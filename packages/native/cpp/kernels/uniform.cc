// rng_uniform: uniform numbers as a function of a key and of the index of each element in the whole
// array, so that every part of the array computes its own elements. The bits are those of
// `uniformAt` of the package std.
#include "uniform.h"

#include <cstdint>

#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

/** `hash32` of the package std. */
inline uint32_t Hash(uint32_t a, uint32_t b) {
  uint32_t h = ((a ^ 0x9e3779b9u) * 0x85ebca6bu) ^ ((b + 0x7f4a7c15u) * 0xc2b2ae35u);
  h ^= h >> 16;
  h *= 0x85ebca6bu;
  h ^= h >> 13;
  h *= 0xc2b2ae35u;
  h ^= h >> 16;
  h = (h ^ a) * 0x27d4eb2fu;
  return h ^ (h >> 15);
}

}  // namespace

namespace uniform {

void Fill(int32_t key, Offsets rows, Offsets columns, float* to) {
  const uint32_t stream = static_cast<uint32_t>(key);
  const int32_t* offsets = columns.data;
  const int64_t width = columns.size;
  for (int64_t r = 0; r < rows.size; r++, to += width) {
    const uint32_t first = static_cast<uint32_t>(rows.data[r]);
    for (int64_t c = 0; c < width; c++) {
      const uint32_t hash = Hash(stream, first + static_cast<uint32_t>(offsets[c]));
      // 23 bits and a half: f32 holds them exactly.
      to[c] = (static_cast<float>(static_cast<int32_t>(hash >> 9)) + 0.5f) * (1.0f / 8388608);
    }
  }
}

}  // namespace uniform

namespace {

REGISTER_OP("LapidaryUniform")
    .Input("key: int32")
    .Input("rows: int32")
    .Input("columns: int32")
    .Input("dims: int32")
    .Output("y: float")
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* context) {
      context->set_output(0, context->UnknownShape());
      return absl::OkStatus();
    });

class LapidaryUniform : public OpKernel {
 public:
  explicit LapidaryUniform(OpKernelConstruction* context) : OpKernel(context) {}

  void Compute(OpKernelContext* context) override {
    const Tensor& key = context->input(0);
    const auto rows = context->input(1).flat<int32_t>();
    const auto columns = context->input(2).flat<int32_t>();
    const auto dims = context->input(3).flat<int32_t>();
    TensorShape shape;
    for (int64_t d = 0; d < dims.size(); d++) shape.AddDim(dims(d));
    OP_REQUIRES(context,
                key.NumElements() == 1 && shape.num_elements() == rows.size() * columns.size(),
                absl::InvalidArgumentError("a key, and an index for each element"));
    Tensor* y = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &y));
    uniform::Fill(key.flat<int32_t>()(0), {rows.data(), rows.size()},
                  {columns.data(), columns.size()}, y->flat<float>().data());
  }
};

REGISTER_KERNEL_BUILDER(Name("LapidaryUniform").Device(tensorflow::DEVICE_CPU), LapidaryUniform);

}  // namespace
