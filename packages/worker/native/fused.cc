// One TensorFlow op for every chain of memory-bound work: elementwise ops, broadcasts and reductions of a fused program in one pass over memory.
//
// A program runs over `rows` rows of `columns` elements. Its values are kept in registers that hold one row (a vector) or one number a row (a scalar), so that
// intermediates stay in the first-level cache:
//
//     for each row:   load inputs (by reference where they lie contiguous) → instructions → store what is an output
//
// Reductions along a row give scalars, which later instructions of the same row use (softmax, norms). Reductions over rows accumulate into an output of
// `columns` numbers, or of one.
//
// Programs are registered by number beforehand (`register`, called from Node), so that a call carries no more than that number. The encoding is that of
// `fusion/encode.ts`.
#include <node_api.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <mutex>
#include <vector>

#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace {

using tensorflow::DT_BOOL;
using tensorflow::DT_FLOAT;
using tensorflow::DT_INT32;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

enum Code : int32_t {
  kAdd = 0, kSub, kMul, kDiv, kMax, kMin, kAnd,
  kNeg, kExp, kLog, kTanh, kSqrt, kRsqrt, kCos, kSin, kAbs, kCopy,
  kEq, kNe, kLt, kLe, kGt, kGe,
  kSelect,
  kRowSum, kRowMax, kRowMin,
  kAccSum, kAccMax, kAccMin,  // over rows, element by element of the row (or of a scalar)
  kCodes,
};

/** Where an operand comes from. */
enum Place : int32_t { kRegister = 0, kInput = 1, kConstant = 2 };

struct Operand {
  int32_t place;
  int32_t index;
};

struct Instruction {
  int32_t code;
  Operand operands[3];
  int32_t count;
  int32_t destination;  // register
  int32_t output;       // the output that it writes, or -1
};

/** How an input is read: an element offset for each row, and inside a row a step of 0 or 1. */
struct Input {
  int32_t inner;  // 1: a vector, 0: a scalar
  std::vector<int64_t> strides;
};

struct Output {
  int32_t kind;  // 0 a vector a row, 1 a scalar a row, 2 one row accumulated over all, 3 one number accumulated over all
  std::vector<int64_t> dims;
};

struct Program {
  std::vector<int64_t> outer;  // sizes of the outer dims; their product is the number of rows
  int64_t rows = 1, columns = 1;
  std::vector<Input> inputs;
  std::vector<Output> outputs;
  std::vector<float> constants;
  std::vector<int32_t> isVector;  // by register
  std::vector<Instruction> instructions;
};

std::mutex programs_mutex;
std::vector<std::shared_ptr<const Program>> programs;

std::shared_ptr<const Program> FindProgram(int64_t id) {
  std::lock_guard<std::mutex> lock(programs_mutex);
  return id >= 0 && id < static_cast<int64_t>(programs.size()) ? programs[id] : nullptr;
}

// ---------------------------------------------------------------- functions of one number, in forms that compilers vectorise

/** exp, by 2^n · p(r) with |r| ≤ ln2/2 (Cephes). Below -87.3 it is 0, above 88.7 infinite. */
inline float Exp(float x) {
  const float clamped = std::min(std::max(x, -87.33654f), 88.72283f);
  // Adding 1.5·2²³ rounds to a whole number: every compiler vectorises it, and needs no flag.
  const float n = (clamped * 1.44269504088896341f + 12582912.0f) - 12582912.0f;
  float r = clamped - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  float p = 1.9875691500e-4f;
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  // 2^n in two factors, for n = 128 has no float of its own.
  const int32_t whole = static_cast<int32_t>(n);
  const int32_t half = whole >> 1;
  int32_t low = (half + 127) << 23, high = (whole - half + 127) << 23;
  float a, b;
  std::memcpy(&a, &low, 4);
  std::memcpy(&b, &high, 4);
  const float result = p * a * b;
  const float tail = x > 88.72283f ? std::numeric_limits<float>::infinity() : result;
  const float bounded = x < -87.33654f ? 0.0f : tail;
  return x != x ? x : bounded;
}

/** tanh, by a rational approximation on [-7.9, 7.9], outside of which it is ±1 in f32. */
inline float Tanh(float x) {
  const float c = std::min(std::max(x, -7.90531110763549805f), 7.90531110763549805f);
  const float s = c * c;
  float p = -2.76076847742355e-16f;
  p = p * s + 2.00018790482477e-13f;
  p = p * s + -8.60467152213735e-11f;
  p = p * s + 5.12229709037114e-08f;
  p = p * s + 1.48572235717979e-05f;
  p = p * s + 6.37261928875436e-04f;
  p = p * s + 4.89352455891786e-03f;
  float q = 1.19825839466702e-06f;
  q = q * s + 1.18534705686654e-04f;
  q = q * s + 2.26843463243900e-03f;
  q = q * s + 4.89352518554385e-03f;
  const float result = c * p / q;
  return x != x ? x : result;
}

template <int32_t code>
inline float Unary(float x) {
  if constexpr (code == kNeg) return -x;
  if constexpr (code == kExp) return Exp(x);
  if constexpr (code == kLog) return std::log(x);
  if constexpr (code == kTanh) return Tanh(x);
  if constexpr (code == kSqrt) return std::sqrt(x);
  if constexpr (code == kRsqrt) return 1.0f / std::sqrt(x);
  if constexpr (code == kCos) return std::cos(x);
  if constexpr (code == kSin) return std::sin(x);
  if constexpr (code == kAbs) return std::fabs(x);
  return x;
}

template <int32_t code>
inline float Binary(float a, float b) {
  if constexpr (code == kAdd || code == kAccSum) return a + b;
  if constexpr (code == kSub) return a - b;
  if constexpr (code == kMul) return a * b;
  if constexpr (code == kDiv) return a / b;
  if constexpr (code == kMax || code == kAccMax) return a < b ? b : a;
  if constexpr (code == kMin || code == kAccMin) return b < a ? b : a;
  if constexpr (code == kAnd) return (a != 0.0f && b != 0.0f) ? 1.0f : 0.0f;
  if constexpr (code == kEq) return a == b ? 1.0f : 0.0f;
  if constexpr (code == kNe) return a != b ? 1.0f : 0.0f;
  if constexpr (code == kLt) return a < b ? 1.0f : 0.0f;
  if constexpr (code == kLe) return a <= b ? 1.0f : 0.0f;
  if constexpr (code == kGt) return a > b ? 1.0f : 0.0f;
  return a >= b ? 1.0f : 0.0f;
}

/** A row of an operand: `step` 0 repeats one number. */
struct Row {
  const float* data;
  int64_t step;
};

template <int32_t code>
void UnaryRow(float* out, Row a, int64_t n) {
  const float* x = a.data;
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) out[i] = Unary<code>(x[i]);
}

template <int32_t code>
void BinaryRow(float* out, Row a, Row b, int64_t n) {
  const float* x = a.data;
  const float* y = b.data;
  if (a.step != 0 && b.step != 0) {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) out[i] = Binary<code>(x[i], y[i]);
  } else if (a.step != 0) {
    const float s = *y;
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) out[i] = Binary<code>(x[i], s);
  } else {
    const float s = *x;
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) out[i] = Binary<code>(s, y[i * b.step]);
  }
}

void SelectRow(float* out, Row p, Row a, Row b, int64_t n) {
  for (int64_t i = 0; i < n; i++) out[i] = p.data[i * p.step] != 0.0f ? a.data[i * a.step] : b.data[i * b.step];
}

/** Sixteen numbers at once, on any machine: the compiler maps them to what vectors there are. */
typedef float Lanes __attribute__((vector_size(64)));

inline Lanes Load(const float* x) {
  Lanes lanes;
  std::memcpy(&lanes, x, sizeof lanes);
  return lanes;
}

/** Sum of a row in four times sixteen lanes: fast, the same whatever the machine's vector width, and more exact than one running sum. */
float SumRow(const float* x, int64_t n) {
  Lanes sums[4] = {};
  int64_t i = 0;
  for (; i + 64 <= n; i += 64)
    for (int k = 0; k < 4; k++) sums[k] += Load(x + i + 16 * k);
  for (; i + 16 <= n; i += 16) sums[0] += Load(x + i);
  const Lanes all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  float lanes[16];
  std::memcpy(lanes, &all, sizeof lanes);
  for (int width = 8; width > 0; width >>= 1)
    for (int k = 0; k < width; k++) lanes[k] += lanes[k + width];
  for (; i < n; i++) lanes[0] += x[i];
  return lanes[0];
}

template <int32_t code>
float ReduceRow(const float* x, int64_t n) {
  if (n < 16) {
    float value = x[0];
    for (int64_t i = 1; i < n; i++) value = Binary<code>(value, x[i]);
    return value;
  }
  Lanes best = Load(x);
  int64_t i = 16;
  for (; i + 16 <= n; i += 16) {
    const Lanes next = Load(x + i);
    best = code == kMax ? (best < next ? next : best) : (next < best ? next : best);
  }
  float lanes[16];
  std::memcpy(lanes, &best, sizeof lanes);
  for (int width = 8; width > 0; width >>= 1)
    for (int k = 0; k < width; k++) lanes[k] = Binary<code>(lanes[k], lanes[k + width]);
  for (; i < n; i++) lanes[0] = Binary<code>(lanes[0], x[i]);
  return lanes[0];
}

void RunInstruction(const Instruction& in, float* out, const Row* rows, int64_t n) {
  switch (in.code) {
#define UNARY(code) case code: UnaryRow<code>(out, rows[0], n); break;
    UNARY(kNeg) UNARY(kExp) UNARY(kLog) UNARY(kTanh) UNARY(kSqrt) UNARY(kRsqrt) UNARY(kCos) UNARY(kSin) UNARY(kAbs)
#undef UNARY
    case kCopy:
      if (out != rows[0].data) for (int64_t i = 0; i < n; i++) out[i] = rows[0].data[i * rows[0].step];
      break;
#define BINARY(code) case code: BinaryRow<code>(out, rows[0], rows[1], n); break;
    BINARY(kAdd) BINARY(kSub) BINARY(kMul) BINARY(kDiv) BINARY(kMax) BINARY(kMin) BINARY(kAnd)
    BINARY(kEq) BINARY(kNe) BINARY(kLt) BINARY(kLe) BINARY(kGt) BINARY(kGe)
#undef BINARY
    case kSelect: SelectRow(out, rows[0], rows[1], rows[2], n); break;
    default: break;
  }
}

// ---------------------------------------------------------------- the op

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
      for (int i = 0; i < context->num_outputs(); i++) context->set_output(i, context->UnknownShape());
      return absl::OkStatus();
    });

class LapidaryFused : public OpKernel {
 public:
  explicit LapidaryFused(OpKernelConstruction* context) : OpKernel(context) {
    int64_t id;
    OP_REQUIRES_OK(context, context->GetAttr("program", &id));
    program_ = FindProgram(id);
    OP_REQUIRES(context, program_ != nullptr, tensorflow::errors::InvalidArgument("no fused program ", id));
    registers_.resize(program_->isVector.size());
    homes_.resize(program_->isVector.size());
    int64_t floats = 0;
    const int64_t row = (program_->columns + 15) / 16 * 16;
    for (int32_t vector : program_->isVector) floats += vector ? row : 16;
    for (const Input& input : program_->inputs) floats += input.inner ? row : 16;
    arena_.resize(floats + 16);
  }

  void Compute(OpKernelContext* context) override {
    std::lock_guard<std::mutex> lock(mutex_);
    const Program& p = *program_;
    const int64_t n = p.columns;
    OP_REQUIRES(context, context->num_inputs() == static_cast<int>(p.inputs.size()), tensorflow::errors::InvalidArgument("operand count"));

    std::vector<float*> outputs(p.outputs.size());
    for (size_t o = 0; o < p.outputs.size(); o++) {
      Tensor* tensor = nullptr;
      OP_REQUIRES_OK(context, context->allocate_output(o, TensorShape(p.outputs[o].dims), &tensor));
      outputs[o] = tensor->flat<float>().data();
    }

    // Registers, then rows of converted inputs, each on its own 64 bytes.
    float* next = arena_.data();
    while (reinterpret_cast<uintptr_t>(next) % 64 != 0) next++;
    const int64_t row = (n + 15) / 16 * 16;
    for (size_t r = 0; r < registers_.size(); r++) {
      registers_[r] = homes_[r] = next;
      next += p.isVector[r] ? row : 16;
    }
    struct Source {
      const float* floats = nullptr;
      const int32_t* ints = nullptr;
      const bool* bools = nullptr;
      float* converted = nullptr;
      int64_t offset = 0;
      int64_t loaded = -1;
    };
    std::vector<Source> sources(p.inputs.size());
    for (size_t i = 0; i < sources.size(); i++) {
      const Tensor& tensor = context->input(i);
      if (tensor.dtype() == DT_FLOAT) sources[i].floats = tensor.flat<float>().data();
      else if (tensor.dtype() == DT_INT32) sources[i].ints = tensor.flat<int32_t>().data();
      else sources[i].bools = tensor.flat<bool>().data();
      sources[i].converted = next;
      next += p.inputs[i].inner ? row : 16;
    }

    std::vector<int64_t> index(p.outer.size(), 0);
    std::vector<Row> inputRows(p.inputs.size());
    for (int64_t r = 0; r < p.rows; r++) {
      for (size_t i = 0; i < sources.size(); i++) {
        Source& s = sources[i];
        const int64_t step = p.inputs[i].inner;
        if (s.floats != nullptr) {
          inputRows[i] = {s.floats + s.offset, step};
          continue;
        }
        if (s.loaded != s.offset) {
          const int64_t count = step ? n : 1;
          if (s.ints != nullptr) for (int64_t k = 0; k < count; k++) s.converted[k] = static_cast<float>(s.ints[s.offset + k]);
          else for (int64_t k = 0; k < count; k++) s.converted[k] = s.bools[s.offset + k] ? 1.0f : 0.0f;
          s.loaded = s.offset;
        }
        inputRows[i] = {s.converted, step};
      }
      for (const Instruction& in : p.instructions) {
        Row operands[3];
        for (int32_t k = 0; k < in.count; k++) {
          const Operand& operand = in.operands[k];
          if (operand.place == kRegister) operands[k] = {registers_[operand.index], p.isVector[operand.index] ? 1 : 0};
          else if (operand.place == kInput) operands[k] = inputRows[operand.index];
          else operands[k] = {&p.constants[operand.index], 0};
        }
        RunRow(in, operands, outputs, r, n);
      }
      // The next row: offsets move with the outer index.
      for (int64_t d = static_cast<int64_t>(p.outer.size()) - 1; d >= 0; d--) {
        index[d]++;
        const bool wraps = index[d] == p.outer[d];
        for (size_t i = 0; i < sources.size(); i++) sources[i].offset += p.inputs[i].strides[d] * (wraps ? 1 - p.outer[d] : 1);
        if (!wraps) break;
        index[d] = 0;
      }
    }
  }

 private:
  void RunRow(const Instruction& in, const Row* operands, const std::vector<float*>& outputs, int64_t r, int64_t n) {
    const Program& p = *program_;
    switch (in.code) {
      case kRowSum: case kRowMax: case kRowMin: {
        float value;
        if (in.code == kRowSum) value = operands[0].step ? SumRow(operands[0].data, n) : *operands[0].data * n;
        else if (!operands[0].step) value = *operands[0].data;
        else value = in.code == kRowMax ? ReduceRow<kMax>(operands[0].data, n) : ReduceRow<kMin>(operands[0].data, n);
        registers_[in.destination] = homes_[in.destination];
        *registers_[in.destination] = value;
        if (in.output >= 0) outputs[in.output][r] = value;
        return;
      }
      case kAccSum: case kAccMax: case kAccMin: {
        float* out = outputs[in.output];
        const int64_t count = p.outputs[in.output].kind == 2 ? n : 1;
        if (r == 0) {
          for (int64_t i = 0; i < count; i++) out[i] = operands[0].data[i * operands[0].step];
          return;
        }
        const Row self = {out, count == 1 ? 0 : 1};
        if (in.code == kAccSum) BinaryRow<kAccSum>(out, self, operands[0], count);
        else if (in.code == kAccMax) BinaryRow<kAccMax>(out, self, operands[0], count);
        else BinaryRow<kAccMin>(out, self, operands[0], count);
        return;
      }
      default: {
        const bool vector = p.isVector[in.destination] != 0;
        const int64_t count = vector ? n : 1;
        // An output is written in its place, and read from there by later instructions of this row.
        float* destination = in.output >= 0 ? outputs[in.output] + r * count : homes_[in.destination];
        registers_[in.destination] = destination;
        RunInstruction(in, destination, operands, count);
      }
    }
  }

  std::shared_ptr<const Program> program_;
  /** Where a register lies, and where its present value does. */
  std::vector<float*> homes_, registers_;
  std::vector<float> arena_;
  std::mutex mutex_;
};

REGISTER_KERNEL_BUILDER(Name("LapidaryFused").Device(tensorflow::DEVICE_CPU), LapidaryFused);

// ---------------------------------------------------------------- registration from Node

/** Reads the numbers of an encoded program one by one. */
struct Reader {
  const int32_t* data;
  size_t length, at = 0;
  bool ok = true;
  int32_t Next() {
    if (at >= length) {
      ok = false;
      return 0;
    }
    return data[at++];
  }
  std::vector<int64_t> List() {
    const int32_t count = Next();
    std::vector<int64_t> list;
    for (int32_t i = 0; ok && i < count; i++) list.push_back(Next());
    return list;
  }
};

std::shared_ptr<Program> Decode(Reader& in, const float* constants, size_t constant_count) {
  auto p = std::make_shared<Program>();
  p->outer = in.List();
  for (int64_t size : p->outer) p->rows *= size;
  p->columns = in.Next();
  for (int32_t i = in.Next(); in.ok && i > 0; i--) {
    Input input;
    input.inner = in.Next();
    input.strides = in.List();
    in.ok = in.ok && input.strides.size() == p->outer.size();
    p->inputs.push_back(input);
  }
  for (int32_t i = in.Next(); in.ok && i > 0; i--) {
    Output output;
    output.kind = in.Next();
    output.dims = in.List();
    p->outputs.push_back(output);
  }
  for (int64_t vector : in.List()) p->isVector.push_back(static_cast<int32_t>(vector));
  for (int32_t i = in.Next(); in.ok && i > 0; i--) {
    Instruction instruction{};
    instruction.code = in.Next();
    instruction.destination = in.Next();
    instruction.output = in.Next();
    instruction.count = in.Next();
    in.ok = in.ok && instruction.count >= 1 && instruction.count <= 3 && instruction.code >= 0 && instruction.code < kCodes &&
            instruction.destination >= 0 && instruction.destination < static_cast<int32_t>(p->isVector.size()) && instruction.output >= -1 && instruction.output < static_cast<int32_t>(p->outputs.size());
    for (int32_t k = 0; in.ok && k < instruction.count; k++) {
      instruction.operands[k].place = in.Next();
      instruction.operands[k].index = in.Next();
      const size_t bound = instruction.operands[k].place == kRegister ? p->isVector.size() : instruction.operands[k].place == kInput ? p->inputs.size() : constant_count;
      in.ok = in.ok && instruction.operands[k].place >= 0 && instruction.operands[k].place <= 2 && instruction.operands[k].index >= 0 && static_cast<size_t>(instruction.operands[k].index) < bound;
    }
    p->instructions.push_back(instruction);
  }
  p->constants.assign(constants, constants + constant_count);
  return in.ok && in.at == in.length && p->columns > 0 ? p : nullptr;
}

/** register(code: Int32Array, constants: Float32Array) → number of the program. */
napi_value Register(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value args[2];
  napi_get_cb_info(env, info, &argc, args, nullptr, nullptr);
  napi_typedarray_type types[2];
  size_t lengths[2];
  void* data[2];
  for (int i = 0; i < 2; i++) {
    if (argc < 2 || napi_get_typedarray_info(env, args[i], &types[i], &lengths[i], &data[i], nullptr, nullptr) != napi_ok || types[i] != (i == 0 ? napi_int32_array : napi_float32_array)) {
      napi_throw_type_error(env, nullptr, "register(Int32Array, Float32Array)");
      return nullptr;
    }
  }
  Reader reader{static_cast<const int32_t*>(data[0]), lengths[0]};
  std::shared_ptr<Program> program = Decode(reader, static_cast<const float*>(data[1]), lengths[1]);
  if (program == nullptr) {
    napi_throw_error(env, nullptr, "this is no fused program");
    return nullptr;
  }
  napi_value id;
  std::lock_guard<std::mutex> lock(programs_mutex);
  programs.push_back(program);
  napi_create_int64(env, static_cast<int64_t>(programs.size()) - 1, &id);
  return id;
}

}  // namespace

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "register", NAPI_AUTO_LENGTH, Register, nullptr, &function);
  napi_set_named_property(env, exports, "register", function);
  return exports;
}
