// `LapidaryFused`: one TensorFlow op for a chain of memory-bound ops. Elementwise ops, broadcasts
// and reductions read and write memory once.
//
// A program runs over `rows` rows of `columns` elements, one tile of rows at a time. A register
// contains the elements of the tile (a vector), or one number for each of its rows (a scalar).
// Intermediates stay in the first-level cache, and short rows cost no more than long rows.
//
//     for each tile:   inputs (by reference, with any strides) → instructions → outputs
//
// A reduction along a row has a scalar result, which later instructions of the same tile use
// (softmax, norms). A reduction over rows accumulates into an output: `period` consecutive rows are
// reduced to one row of the output. The period is the number of rows if the whole dim is reduced.
//
// Node registers a program beforehand (`registerProgram`). A call has only the number of the
// program.
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "fused_runner.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace {

using tensorflow::DT_FLOAT;
using tensorflow::DT_INT32;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

REGISTER_OP("LapidaryFused")
    .Input("floats: NF * float")
    .Input("ints: NI * int32")
    .Input("bools: NB * bool")
    .Output("outputs: NO * float")
    .Attr("NF: int >= 0")
    .Attr("NI: int >= 0")
    .Attr("NB: int >= 0")
    .Attr("NO: int >= 1")
    .Attr("program: int")
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* context) {
      for (int i = 0; i < context->num_outputs(); i++) {
        context->set_output(i, context->UnknownShape());
      }
      return absl::OkStatus();
    });

class LapidaryFused : public OpKernel {
 public:
  explicit LapidaryFused(OpKernelConstruction* context) : OpKernel(context) {
    int64_t id;
    OP_REQUIRES_OK(context, context->GetAttr("program", &id));
    std::shared_ptr<const Program> program = fused::FindProgram(id);
    OP_REQUIRES(context, program != nullptr, absl::InvalidArgumentError("no such fused program"));
    inputs_.resize(program->inputs.size());
    outputs_.resize(program->outputs.size());
    runner_ = std::make_unique<FusedRunner>(std::move(program));
  }

  void Compute(OpKernelContext* context) override {
    std::lock_guard<std::mutex> lock(mutex_);
    OP_REQUIRES(context, context->num_inputs() == static_cast<int>(inputs_.size()),
                absl::InvalidArgumentError("operand count"));
    for (size_t o = 0; o < outputs_.size(); o++) {
      Tensor* tensor = nullptr;
      const TensorShape shape(runner_->program().outputs[o].dims);
      OP_REQUIRES_OK(context, context->allocate_output(static_cast<int>(o), shape, &tensor));
      outputs_[o] = tensor->flat<float>().data();
    }
    for (size_t i = 0; i < inputs_.size(); i++) {
      const Tensor& tensor = context->input(static_cast<int>(i));
      inputs_[i] = {tensor.tensor_data().data(), tensor.dtype() == DT_FLOAT   ? kFloat
                                                 : tensor.dtype() == DT_INT32 ? kInt
                                                                              : kBool};
    }
    runner_->Run(inputs_.data(), outputs_.data());
  }

 private:
  std::unique_ptr<FusedRunner> runner_;
  std::vector<Array> inputs_;
  std::vector<float*> outputs_;
  std::mutex mutex_;
};

REGISTER_KERNEL_BUILDER(Name("LapidaryFused").Device(tensorflow::DEVICE_CPU), LapidaryFused);

}  // namespace
