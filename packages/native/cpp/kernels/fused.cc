// One TensorFlow op for every chain of memory-bound work: elementwise ops, broadcasts and reductions of a fused program in one pass over memory.
//
// A program runs over `rows` rows of `columns` elements, a tile of some rows at a time. Its values are kept in registers that hold the tile's elements (a
// vector) or one number for each of its rows (a scalar), so that intermediates stay in the first-level cache, and short rows cost no more than long ones:
//
//     for each tile:   inputs (by reference, whatever their strides) → instructions → what is an output is written in its place
//
// Reductions along a row give scalars, which later instructions of the same tile use (softmax, norms). Reductions over rows accumulate into an output: each
// `period` rows that follow one another give one row of it (all rows, where the whole is reduced).
//
// Programs are registered by number beforehand (`register`, called from Node), so that a call carries no more than that number. The encoding is that of
// `fusion/encode.ts`.
#include <node_api.h>

#include "elementwise.h"
#include "gemm.h"
#include "shared.h"
#include "vectors.h"

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

/** Where an operand comes from. */
enum Place : int32_t { kRegister = 0, kInput = 1, kConstant = 2 };

struct Operand {
  int32_t place;
  int32_t index;
};

/** So many numbers from a place of a row to a place of another. */
struct RowPart {
  int64_t from, to, width;
};

struct Instruction {
  int32_t code;
  Operand operands[3];
  int32_t count;
  int32_t destination;  // register
  int32_t output;       // the output that it writes, or -1
  std::vector<RowPart> parts;
};

/** How an input is read: from an offset, with a stride for each outer dim, and inside a row a step of 0 or 1. */
struct Input {
  int32_t inner;  // 1: a vector, 0: a scalar
  int64_t offset;
  std::vector<int64_t> strides;
};

struct Output {
  int32_t kind;  // 0 a vector a row, 1 a scalar a row, 2 a vector accumulated over `period` rows, 3 a number accumulated over them
  int64_t period;
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

// ---------------------------------------------------------------- instructions, on numbers and on vectors of them

/** A run of an operand: `step` 0 repeats one number. */
struct Run {
  const float* data;
  int64_t step;
};

/** An operand over a tile: element (t, c) is data[t·row + c·column]. */
struct Tile {
  const float* data;
  int64_t row;
  int64_t column;  // 0 or 1
};

/** What a loop over vectors reads: numbers that follow one another, or one for all. */
struct Many {
  const float* data;
  LAPIDARY_INLINE Vector At(int64_t i) const { return Load(data + i); }
  LAPIDARY_INLINE Vector First(int64_t n) const { return LoadFirst(data, n); }
};
struct One {
  Vector all;
  explicit One(const float* x) : all(All(*x)) {}
  LAPIDARY_INLINE Vector At(int64_t) const { return all; }
  LAPIDARY_INLINE Vector First(int64_t) const { return all; }
};

/** out[i] = work(operands[i]…), a vector at a time. The last one may overlap that before it, so that it is read first: operands may lie where the results do. */
template <typename Work, typename... Operands>
LAPIDARY_INLINE void ForVectors(float* out, int64_t n, Work work, Operands... operands) {
  if (n < kLanes) return StoreFirst(out, n, work(operands.First(n)...));
  const Vector last = work(operands.At(n - kLanes)...);
  for (int64_t i = 0; i + kLanes < n; i += kLanes) Store(out + i, work(operands.At(i)...));
  Store(out + n - kLanes, last);
}

template <int32_t code>
inline void UnaryRun(float* out, Run a, int64_t n) {
  const float* x = a.data;
  if constexpr (kHasFormula<code, Vector>) {
    if (a.step != 0) return ForVectors(out, n, [](Vector v) { return Formula(Op<code>{}, v); }, Many{x});
    const float value = Formula(Op<code>{}, All(*x))[0];
    for (int64_t i = 0; i < n; i++) out[i] = value;
  } else if (a.step == 0) {
    const float value = Formula(Op<code>{}, *x);
    for (int64_t i = 0; i < n; i++) out[i] = value;
  } else {
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) out[i] = Formula(Op<code>{}, x[i]);
  }
}

/** Calls `work` with an operand as it is read. */
template <typename Work>
LAPIDARY_INLINE void As(Run run, Work work) {
  if (run.step != 0) work(Many{run.data});
  else work(One(run.data));
}

template <int32_t code>
inline void BinaryRun(float* out, Run a, Run b, int64_t n) {
  const auto work = [](Vector x, Vector y) { return Formula(Op<code>{}, x, y); };
  As(a, [&](auto x) { As(b, [&](auto y) { ForVectors(out, n, work, x, y); }); });
}

inline void SelectRun(float* out, Run p, Run a, Run b, int64_t n) {
  // What is not chosen is read as well: only then is it one step of vectors.
  const auto select = [](Vector q, Vector x, Vector y) { return q != 0.0f ? x : y; };
  As(p, [&](auto q) { As(a, [&](auto x) { As(b, [&](auto y) { ForVectors(out, n, select, q, x, y); }); }); });
}

/** Whether the tile's elements lie one after the other, or are all the same: then all its rows are one run. */
inline bool IsRun(const Tile& a, int64_t columns) { return a.row == a.column * columns; }

/**
 * Calls `work(out, runs…, n)` for as few runs as the operands allow: one for all rows, or one for each. Values of one number a row come with one column,
 * their rows as the run.
 */
template <int count, typename Work>
inline void ForRuns(float* out, const Tile* operands, int64_t rows, int64_t columns, Work work) {
  Run runs[3] = {};
  bool whole = true;
  for (int k = 0; k < count; k++) {
    whole = whole && IsRun(operands[k], columns);
    runs[k] = {operands[k].data, operands[k].column};
  }
  if (whole) return work(out, runs, rows * columns);
  for (int64_t t = 0; t < rows; t++) {
    for (int k = 0; k < count; k++) runs[k].data = operands[k].data + t * operands[k].row;
    work(out + t * columns, runs, columns);
  }
}

template <int32_t code>
void UnaryTile(float* out, const Tile* operands, int64_t rows, int64_t columns) {
  ForRuns<1>(out, operands, rows, columns, [](float* to, const Run* runs, int64_t n) { UnaryRun<code>(to, runs[0], n); });
}

template <int32_t code>
void BinaryTile(float* out, const Tile* operands, int64_t rows, int64_t columns) {
  ForRuns<2>(out, operands, rows, columns, [](float* to, const Run* runs, int64_t n) { BinaryRun<code>(to, runs[0], runs[1], n); });
}

void SelectTile(float* out, const Tile* operands, int64_t rows, int64_t columns) {
  ForRuns<3>(out, operands, rows, columns, [](float* to, const Run* runs, int64_t n) { SelectRun(to, runs[0], runs[1], runs[2], n); });
}

/** Sum of a row in four times sixteen lanes: fast, the same whatever the machine's vector width, and more exact than one running sum. */
float SumRow(const float* x, int64_t n) {
  constexpr int64_t k16 = 16 / kLanes;
  Vector sums[4][k16] = {};
  int64_t i = 0;
  for (; i + 64 <= n; i += 64)
    for (int64_t k = 0; k < 4 * k16; k++) sums[k / k16][k % k16] += Load(x + i + k * kLanes);
  for (; i + 16 <= n; i += 16)
    for (int64_t k = 0; k < k16; k++) sums[0][k] += Load(x + i + k * kLanes);
  Vector all[k16];
  for (int64_t k = 0; k < k16; k++) all[k] = (sums[0][k] + sums[1][k]) + (sums[2][k] + sums[3][k]);
  float sum = Fold16(all, [](auto a, auto b) { return a + b; });
  for (; i < n; i++) sum += x[i];
  return sum;
}

template <int32_t code>
float ReduceRow(const float* x, int64_t n) {
  if (n < 16) {
    float value = x[0];
    for (int64_t i = 1; i < n; i++) value = Formula(Op<code>{}, value, x[i]);
    return value;
  }
  // Which of two is kept may lose a NaN, so whether there was one is kept beside. The last sixteen may be met twice.
  constexpr int64_t k16 = 16 / kLanes;
  Vector best[k16];
  Whole nan[k16];
  for (int64_t k = 0; k < k16; k++) {
    best[k] = Load(x + k * kLanes);
    nan[k] = best[k] != best[k];
  }
  const auto take = [&](const float* at) {
    for (int64_t k = 0; k < k16; k++) {
      const Vector next = Load(at + k * kLanes);
      best[k] = (code == kMaximum ? best[k] > next : best[k] < next) ? best[k] : next;
      nan[k] |= next != next;
    }
  };
  for (int64_t i = 16; i + 16 < n; i += 16) take(x + i);
  take(x + n - 16);
  for (int64_t k = 0; k < k16; k++) best[k] = nan[k] ? All(std::numeric_limits<float>::quiet_NaN()) : best[k];
  return Fold16(best, [](auto a, auto b) { return Formula(Op<code>{}, a, b); });
}

void RunInstruction(int32_t code, float* out, const Tile* operands, int64_t rows, int64_t columns) {
  switch (code) {
#define UNARY(code) case code: UnaryTile<code>(out, operands, rows, columns); break;
    LAPIDARY_UNARY_OPCODES(UNARY) UNARY(kCopy)
#undef UNARY
#define BINARY(code) case code: BinaryTile<code>(out, operands, rows, columns); break;
    LAPIDARY_BINARY_OPCODES(BINARY)
#undef BINARY
    case kSelect: SelectTile(out, operands, rows, columns); break;
    default: break;
  }
}

template <typename From>
void ConvertRow(float* out, const From* in, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; i++) out[i] = static_cast<float>(in[i]);
}

/** Elements of a tile, about: with all registers of a usual program they stay in the first-level cache. */
constexpr int64_t kTileTarget = 1024;

/** So much of the next tile is asked for: more would push out what this one needs. */
constexpr int64_t kAheadMost = 4096;

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
    OP_REQUIRES(context, program_ != nullptr, absl::InvalidArgumentError("no such fused program"));
    const Program& p = *program_;
    tile_ = std::max<int64_t>(1, std::min(p.outer.empty() ? 1 : p.outer.back(), kTileTarget / p.columns));
    registers_.resize(p.isVector.size());
    homes_.resize(p.isVector.size());
    int64_t floats = Padded(p.columns);
    for (int32_t vector : p.isVector) floats += Padded(vector ? tile_ * p.columns : tile_);
    for (const Input& input : p.inputs) floats += Padded(input.inner ? tile_ * p.columns : tile_);
    arena_.resize(floats + 16);
  }

  void Compute(OpKernelContext* context) override {
    std::lock_guard<std::mutex> lock(mutex_);
    const Program& p = *program_;
    const int64_t n = p.columns;
    OP_REQUIRES(context, context->num_inputs() == static_cast<int>(p.inputs.size()), absl::InvalidArgumentError("operand count"));

    std::vector<float*> outputs(p.outputs.size());
    for (size_t o = 0; o < p.outputs.size(); o++) {
      Tensor* tensor = nullptr;
      OP_REQUIRES_OK(context, context->allocate_output(o, TensorShape(p.outputs[o].dims), &tensor));
      outputs[o] = tensor->flat<float>().data();
    }

    // Registers, then tiles of converted inputs, each on its own 64 bytes.
    float* next = arena_.data();
    while (reinterpret_cast<uintptr_t>(next) % 64 != 0) next++;
    sum_ = next;
    next += Padded(n);
    for (size_t r = 0; r < registers_.size(); r++) {
      homes_[r] = next;
      next += Padded(p.isVector[r] ? tile_ * n : tile_);
    }
    struct Source {
      const float* floats = nullptr;
      const int32_t* ints = nullptr;
      const bool* bools = nullptr;
      float* converted = nullptr;
      int64_t offset = 0;
      int64_t step = 0;  // from row to row of a tile
      int64_t loaded = -1, loadedRows = 0;
    };
    std::vector<Source> sources(p.inputs.size());
    const int64_t inside = p.outer.empty() ? 1 : p.outer.back();
    for (size_t i = 0; i < sources.size(); i++) {
      const Tensor& tensor = context->input(i);
      if (tensor.dtype() == DT_FLOAT) sources[i].floats = tensor.flat<float>().data();
      else if (tensor.dtype() == DT_INT32) sources[i].ints = tensor.flat<int32_t>().data();
      else sources[i].bools = tensor.flat<bool>().data();
      sources[i].converted = next;
      sources[i].offset = p.inputs[i].offset;
      sources[i].step = p.outer.empty() ? 0 : p.inputs[i].strides.back();
      next += Padded(p.inputs[i].inner ? tile_ * n : tile_);
    }

    std::vector<int64_t> index(p.outer.size(), 0);
    std::vector<Tile> inputTiles(p.inputs.size());
    for (int64_t r = 0; r < p.rows; r += inside) {
      for (int64_t first = 0; first < inside; first += tile_) {
        const int64_t rows = std::min(tile_, inside - first);
        for (size_t i = 0; i < sources.size(); i++) {
          Source& s = sources[i];
          const int64_t inner = p.inputs[i].inner;
          const int64_t at = s.offset + first * s.step;
          if (s.floats != nullptr) {
            inputTiles[i] = {s.floats + at, rows == 1 ? inner * n : s.step, inner};
            continue;
          }
          const int64_t count = inner ? n : 1, copies = s.step == 0 ? 1 : rows;
          if (s.loaded != at || s.loadedRows < copies) {
            for (int64_t t = 0; t < copies; t++) {
              if (s.ints != nullptr) ConvertRow(s.converted + t * count, s.ints + at + t * s.step, count);
              else ConvertRow(s.converted + t * count, reinterpret_cast<const uint8_t*>(s.bools) + at + t * s.step, count);
            }
            s.loaded = at;
            s.loadedRows = copies;
          }
          inputTiles[i] = {s.converted, rows == 1 ? inner * n : s.step == 0 ? 0 : count, inner};
        }
        // One or two instructions wait for memory whatever is asked for.
        ahead_.clear();
        if (first + 2 * tile_ <= inside && p.instructions.size() > 2) {
          for (size_t i = 0; i < sources.size(); i++)
            if (sources[i].floats != nullptr && p.inputs[i].inner && sources[i].step == n) ahead_.push_back({inputTiles[i].data + tile_ * n, false});
          for (size_t o = 0; o < outputs.size(); o++)
            if (p.outputs[o].kind == 0) ahead_.push_back({outputs[o] + (r + first + tile_) * n, true});
        }
        int64_t fetched = 0, done = 0;
        for (const Instruction& in : p.instructions) {
          const int64_t fetch = std::min(tile_ * n, kAheadMost) * ++done / static_cast<int64_t>(p.instructions.size());
          Fetch(fetched, fetch);
          fetched = fetch;
          Tile operands[3];
          for (int32_t k = 0; k < in.count; k++) {
            const Operand& operand = in.operands[k];
            if (operand.place == kRegister) operands[k] = p.isVector[operand.index] ? Tile{registers_[operand.index], n, 1} : Tile{registers_[operand.index], 1, 0};
            else if (operand.place == kInput) operands[k] = inputTiles[operand.index];
            else operands[k] = {&p.constants[operand.index], 0, 0};
          }
          Step(in, operands, outputs, r + first, rows);
        }
      }
      // The next rows: offsets move with the outer index.
      for (int64_t d = static_cast<int64_t>(p.outer.size()) - 2; d >= 0; d--) {
        index[d]++;
        const bool wraps = index[d] == p.outer[d];
        for (size_t i = 0; i < sources.size(); i++) sources[i].offset += p.inputs[i].strides[d] * (wraps ? 1 - p.outer[d] : 1);
        if (!wraps) break;
        index[d] = 0;
      }
    }
  }

 private:
  static int64_t Padded(int64_t floats) { return (floats + 15) / 16 * 16; }

  /**
   * Asks for the next tile's memory, from one number to another: it comes while this tile is computed. A tile is about a page, beyond which processors do not
   * look ahead. Inlined, as compilers leave out calls of what has no effect.
   */
  LAPIDARY_INLINE void Fetch(int64_t from, int64_t to) const {
    for (const Ahead& each : ahead_)
      for (int64_t i = (from + 15) / 16 * 16; i < to; i += 16)
        if (each.written) __builtin_prefetch(each.at + i, 1);
        else __builtin_prefetch(each.at + i, 0);
  }

  /** One instruction for the tile that begins at row `r`. */
  void Step(const Instruction& in, Tile* operands, const std::vector<float*>& outputs, int64_t r, int64_t rows) {
    const Program& p = *program_;
    const int64_t n = p.columns;
    switch (in.code) {
      case kRowSum: case kRowMax: case kRowMin: {
        float* out = registers_[in.destination] = in.output >= 0 ? outputs[in.output] + r : homes_[in.destination];
        const Tile& a = operands[0];
        for (int64_t t = 0; t < rows; t++) {
          const float* x = a.data + t * a.row;
          if (a.column == 0) out[t] = in.code == kRowSum ? *x * n : *x;
          else out[t] = in.code == kRowSum ? SumRow(x, n) : in.code == kRowMax ? ReduceRow<kMaximum>(x, n) : ReduceRow<kMinimum>(x, n);
        }
        return;
      }
      case kAccSum: Accumulate<kAdd>(p.outputs[in.output], outputs[in.output], operands[0], r, rows); return;
      case kAccMax: Accumulate<kMaximum>(p.outputs[in.output], outputs[in.output], operands[0], r, rows); return;
      case kAccMin: Accumulate<kMinimum>(p.outputs[in.output], outputs[in.output], operands[0], r, rows); return;
      case kRearrange: {
        float* out = registers_[in.destination] = in.output >= 0 ? outputs[in.output] + r * n : homes_[in.destination];
        const Tile& a = operands[0];
        for (const RowPart& part : in.parts)
          for (int64_t t = 0; t < rows; t++) UnaryRun<kCopy>(out + t * n + part.to, {a.data + t * a.row + part.from, 1}, part.width);
        return;
      }
      default: {
        const int64_t columns = p.isVector[in.destination] ? n : 1;
        // Of one number a row, the rows are the columns.
        if (columns == 1)
          for (int32_t k = 0; k < in.count; k++) {
            if (operands[k].row == 1) operands[k].column = 1;
            else if (operands[k].row == 0) operands[k].column = 0;
          }
        // An output is written in its place, and read from there by later instructions of this tile.
        float* destination = in.output >= 0 ? outputs[in.output] + r * columns : homes_[in.destination];
        registers_[in.destination] = destination;
        RunInstruction(in.code, destination, operands, rows, columns);
      }
    }
  }

  /** Rows that belong to one row of the output are combined among themselves first: a long sum in parts is the more exact. */
  template <int32_t code>
  void Accumulate(const Output& output, float* out, const Tile& a, int64_t r, int64_t rows) {
    const int64_t count = output.kind == 2 ? program_->columns : 1;
    for (int64_t t = 0; t < rows;) {
      const int64_t position = (r + t) % output.period;
      const int64_t end = std::min(rows, t + output.period - position);
      float* to = out + (r + t) / output.period * count;
      float* part = position == 0 ? to : sum_;
      const Run first = {a.data + t * a.row, a.column};
      UnaryRun<kCopy>(part, first, count);
      for (t++; t < end; t++) BinaryRun<code>(part, {part, 1}, {a.data + t * a.row, a.column}, count);
      if (position != 0) BinaryRun<code>(to, {to, 1}, {part, 1}, count);
    }
  }

  struct Ahead {
    const float* at;
    bool written;
  };

  std::shared_ptr<const Program> program_;
  /** What the next tile reads and writes. */
  std::vector<Ahead> ahead_;
  /** Rows of a tile. */
  int64_t tile_ = 1;
  /** Where a register lies, and where its present value does; room for one row. */
  std::vector<float*> homes_, registers_;
  float* sum_ = nullptr;
  std::vector<float> arena_;
  std::mutex mutex_;
};

REGISTER_KERNEL_BUILDER(Name("LapidaryFused").Device(tensorflow::DEVICE_CPU), LapidaryFused);

// ---------------------------------------------------------------- registration from Node

/** Reads the numbers of an encoded program one by one. */
struct Encoded {
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

/** Neighbouring outer dims over which every input moves on evenly become one, so that tiles may be high. */
void MergeOuter(Program& p) {
  for (size_t d = p.outer.size(); d-- > 1;) {
    bool even = true;
    for (const Input& input : p.inputs) even = even && input.strides[d - 1] == input.strides[d] * p.outer[d];
    if (!even) continue;
    p.outer[d - 1] *= p.outer[d];
    p.outer.erase(p.outer.begin() + d);
    for (Input& input : p.inputs) {
      input.strides[d - 1] = input.strides[d];
      input.strides.erase(input.strides.begin() + d);
    }
  }
}

std::shared_ptr<Program> Decode(Encoded& in, const float* constants, size_t constant_count) {
  auto p = std::make_shared<Program>();
  p->outer = in.List();
  for (int64_t size : p->outer) p->rows *= size;
  p->columns = in.Next();
  for (int32_t i = in.Next(); in.ok && i > 0; i--) {
    Input input;
    input.inner = in.Next();
    input.offset = in.Next();
    input.strides = in.List();
    in.ok = in.ok && input.strides.size() == p->outer.size();
    p->inputs.push_back(input);
  }
  for (int32_t i = in.Next(); in.ok && i > 0; i--) {
    Output output;
    output.kind = in.Next();
    output.period = in.Next();
    in.ok = in.ok && output.period > 0;
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
    if (in.ok && instruction.code == kRearrange) {
      const std::vector<int64_t> numbers = in.List();
      const Operand& source = instruction.operands[0];
      in.ok = in.ok && numbers.size() % 3 == 0 && p->isVector[instruction.destination] &&
              (source.place == kRegister ? p->isVector[source.index] : source.place == kInput && p->inputs[source.index].inner == 1);
      for (size_t k = 0; in.ok && k < numbers.size(); k += 3) {
        const RowPart part = {numbers[k], numbers[k + 1], numbers[k + 2]};
        in.ok = part.from >= 0 && part.to >= 0 && part.width > 0 && part.from + part.width <= p->columns && part.to + part.width <= p->columns;
        instruction.parts.push_back(part);
      }
    }
    p->instructions.push_back(instruction);
  }
  p->constants.assign(constants, constants + constant_count);
  if (in.ok) MergeOuter(*p);
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
  Encoded reader{static_cast<const int32_t*>(data[0]), lengths[0]};
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
  napi_create_function(env, "registerProgram", NAPI_AUTO_LENGTH, Register, nullptr, &function);
  napi_set_named_property(env, exports, "registerProgram", function);
  // The worker refuses a library that was compiled for another list.
  napi_value opcodes;
  napi_create_string_utf8(env, LAPIDARY_OPCODE_LIST, NAPI_AUTO_LENGTH, &opcodes);
  napi_set_named_property(env, exports, "opcodes", opcodes);
  ExportShared(env, exports);
  ExportImages(env, exports);
  ExportProducts(env, exports);
  return exports;
}
