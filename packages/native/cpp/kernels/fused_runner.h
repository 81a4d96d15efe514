// The interpreter of fused programs (fused_op.cc).
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "fused_program.h"
#include "fused_tiles.h"

namespace {

using fused::Input;
using fused::Instruction;
using fused::Operand;
using fused::Output;
using fused::Program;

/** Elements of a tile, about. All registers of a typical program stay in the first-level cache. */
constexpr int64_t kTileTarget = 1024;

/** Maximum number of prefetched elements. More would evict data that this tile needs. */
constexpr int64_t kPrefetchMax = 4096;

enum ArrayType : int32_t { kFloat = 0, kInt = 1, kBool = 2 };

/** The memory of an operand. */
struct Array {
  const void* data;
  ArrayType type;
};

/** Runs one program, and has the memory of its registers. One run at a time. */
class FusedRunner {
 public:
  explicit FusedRunner(std::shared_ptr<const Program> program) : program_(std::move(program)) {
    const Program& p = *program_;
    inner_rows_ = p.outer.empty() ? 1 : p.outer.back();
    tile_ = std::max<int64_t>(1, std::min(inner_rows_, kTileTarget / p.columns));
    registers_.resize(p.is_vector.size());
    buffers_.resize(p.is_vector.size());
    sources_.resize(p.inputs.size());
    input_tiles_.resize(p.inputs.size());
    outputs_.resize(p.outputs.size());
    int64_t floats = Padded(p.columns);
    for (int32_t vector : p.is_vector) floats += Padded(vector ? tile_ * p.columns : tile_);
    for (const Input& input : p.inputs) floats += Padded(input.inner ? tile_ * p.columns : tile_);
    arena_.resize(floats + 16);
    DivideArena();
  }

  const Program& program() const { return *program_; }

  /** @param inputs and `outputs`: one for each of the program */
  void Run(const Array* inputs, float* const* outputs) {
    const Program& p = *program_;
    std::copy(outputs, outputs + outputs_.size(), outputs_.begin());
    OpenInputs(inputs);
    index_.assign(p.outer.size(), 0);
    for (int64_t row = 0; row < p.rows; row += inner_rows_) {
      for (int64_t first = 0; first < inner_rows_; first += tile_) {
        const int64_t rows = std::min(tile_, inner_rows_ - first);
        PrepareInputs(first, rows);
        PlanPrefetch(row, first);
        ComputeTile(row + first, rows);
      }
      AdvanceInputs();
    }
  }

 private:
  /** The memory of an input, and the current position in it. */
  struct Source {
    const float* floats = nullptr;
    const int32_t* ints = nullptr;
    const bool* bools = nullptr;
    float* converted = nullptr;  // a tile of integers or booleans, as floats
    int64_t offset = 0;
    int64_t step = 0;  // from row to row of a tile
    int64_t loaded = -1, loaded_rows = 0;
  };

  /** Memory of the next tile. */
  struct Prefetch {
    const float* at;
    bool written;
  };

  static int64_t Padded(int64_t floats) { return (floats + 15) / 16 * 16; }

  /**
   * One row, then the registers, then tiles of converted inputs, each on a boundary of 64 bytes.
   */
  void DivideArena() {
    const Program& p = *program_;
    float* next = arena_.data();
    while (reinterpret_cast<uintptr_t>(next) % 64 != 0) next++;
    const auto take = [&](int64_t floats) {
      float* const at = next;
      next += Padded(floats);
      return at;
    };
    partial_row_ = take(p.columns);
    for (size_t r = 0; r < registers_.size(); r++)
      buffers_[r] = take(p.is_vector[r] ? tile_ * p.columns : tile_);
    for (size_t i = 0; i < sources_.size(); i++) {
      sources_[i].converted = take(p.inputs[i].inner ? tile_ * p.columns : tile_);
    }
  }

  void OpenInputs(const Array* inputs) {
    const Program& p = *program_;
    for (size_t i = 0; i < sources_.size(); i++) {
      Source& source = sources_[i];
      source.floats =
          inputs[i].type == kFloat ? static_cast<const float*>(inputs[i].data) : nullptr;
      source.ints = inputs[i].type == kInt ? static_cast<const int32_t*>(inputs[i].data) : nullptr;
      source.bools = inputs[i].type == kBool ? static_cast<const bool*>(inputs[i].data) : nullptr;
      source.loaded = -1;
      source.offset = p.inputs[i].offset;
      source.step = p.outer.empty() ? 0 : p.inputs[i].strides.back();
    }
  }

  /** The tiles of all inputs for `rows` rows, from row `first` of the innermost outer dim. */
  void PrepareInputs(int64_t first, int64_t rows) {
    const Program& p = *program_;
    const int64_t n = p.columns;
    for (size_t i = 0; i < sources_.size(); i++) {
      Source& source = sources_[i];
      const int64_t inner = p.inputs[i].inner;
      const int64_t at = source.offset + first * source.step;
      if (source.floats != nullptr) {
        input_tiles_[i] = {source.floats + at, rows == 1 ? inner * n : source.step, inner};
        continue;
      }
      const int64_t count = inner ? n : 1, copies = source.step == 0 ? 1 : rows;
      if (source.loaded != at || source.loaded_rows < copies) Convert(source, at, count, copies);
      const int64_t row = rows == 1 ? inner * n : source.step == 0 ? 0 : count;
      input_tiles_[i] = {source.converted, row, inner};
    }
  }

  /** Converts `copies` rows of `count` numbers. */
  static void Convert(Source& source, int64_t at, int64_t count, int64_t copies) {
    for (int64_t t = 0; t < copies; t++) {
      float* const to = source.converted + t * count;
      const int64_t from = at + t * source.step;
      if (source.ints != nullptr)
        ConvertRow(to, source.ints + from, count);
      else
        ConvertRow(to, reinterpret_cast<const uint8_t*>(source.bools) + from, count);
    }
    source.loaded = at;
    source.loaded_rows = copies;
  }

  /** Moves the inputs to the next index of the outer dims. */
  void AdvanceInputs() {
    const Program& p = *program_;
    for (int64_t d = static_cast<int64_t>(p.outer.size()) - 2; d >= 0; d--) {
      index_[d]++;
      const bool wraps = index_[d] == p.outer[d];
      for (size_t i = 0; i < sources_.size(); i++)
        sources_[i].offset += p.inputs[i].strides[d] * (wraps ? 1 - p.outer[d] : 1);
      if (!wraps) break;
      index_[d] = 0;
    }
  }

  /**
   * Lists the memory that the next tile reads and writes. One or two instructions do not need it.
   */
  void PlanPrefetch(int64_t row, int64_t first) {
    const Program& p = *program_;
    const int64_t n = p.columns;
    prefetches_.clear();
    if (first + 2 * tile_ > inner_rows_ || p.instructions.size() <= 2) return;
    for (size_t i = 0; i < sources_.size(); i++) {
      if (sources_[i].floats != nullptr && p.inputs[i].inner && sources_[i].step == n)
        prefetches_.push_back({input_tiles_[i].data + tile_ * n, false});
    }
    for (size_t o = 0; o < outputs_.size(); o++) {
      if (p.outputs[o].kind == fused::kRowVector)
        prefetches_.push_back({outputs_[o] + (row + first + tile_) * n, true});
    }
  }

  /**
   * Prefetches elements `from` to `to` of the next tile while this tile is computed. A tile is
   * about a page, and hardware prefetching stops at the end of a page. Inlined, because compilers
   * remove calls of functions without effect.
   */
  LAPIDARY_INLINE void FetchAhead(int64_t from, int64_t to) const {
    for (const Prefetch& each : prefetches_)
      for (int64_t i = (from + 15) / 16 * 16; i < to; i += 16)
        if (each.written)
          __builtin_prefetch(each.at + i, 1);
        else
          __builtin_prefetch(each.at + i, 0);
  }

  /** All instructions for the tile that begins at row `r`. */
  void ComputeTile(int64_t r, int64_t rows) {
    const Program& p = *program_;
    const int64_t count = static_cast<int64_t>(p.instructions.size());
    int64_t fetched = 0, done = 0;
    for (const Instruction& in : p.instructions) {
      const int64_t fetch = std::min(tile_ * p.columns, kPrefetchMax) * ++done / count;
      FetchAhead(fetched, fetch);
      fetched = fetch;
      Tile operands[3];
      for (int32_t k = 0; k < in.count; k++) operands[k] = TileOf(in.operands[k]);
      Execute(in, operands, r, rows);
    }
  }

  Tile TileOf(const Operand& operand) const {
    const Program& p = *program_;
    if (operand.kind == fused::kInput) return input_tiles_[operand.index];
    if (operand.kind == fused::kConstant) return {&p.constants[operand.index], 0, 0};
    const float* data = registers_[operand.index];
    return p.is_vector[operand.index] ? Tile{data, p.columns, 1} : Tile{data, 1, 0};
  }

  /**
   * The memory of an instruction's result, `width` numbers for each row. An output is written to
   * the output's memory, and later instructions of this tile read it from there.
   */
  float* Destination(const Instruction& in, int64_t r, int64_t width) {
    float* to = in.output >= 0 ? outputs_[in.output] + r * width : buffers_[in.destination];
    registers_[in.destination] = to;
    return to;
  }

  /** One instruction for the tile that begins at row `r`. */
  void Execute(const Instruction& in, Tile* operands, int64_t r, int64_t rows) {
    switch (in.code) {
      case kRowSum:
      case kRowMax:
      case kRowMin:
        return ReduceRows(in, operands[0], r, rows);
      case kAccSum:
        return Accumulate<kAdd>(in.output, operands[0], r, rows);
      case kAccMax:
        return Accumulate<kMaximum>(in.output, operands[0], r, rows);
      case kAccMin:
        return Accumulate<kMinimum>(in.output, operands[0], r, rows);
      case kRearrange:
        return Rearrange(in, operands[0], r, rows);
      default:
        return Elementwise(in, operands, r, rows);
    }
  }

  void ReduceRows(const Instruction& in, const Tile& a, int64_t r, int64_t rows) {
    const int64_t n = program_->columns;
    float* out = Destination(in, r, 1);
    for (int64_t t = 0; t < rows; t++) {
      const float* x = a.data + t * a.row;
      if (a.column == 0)
        out[t] = in.code == kRowSum ? *x * n : *x;
      else
        out[t] = in.code == kRowSum   ? SumRow(x, n)
                 : in.code == kRowMax ? ReduceRow<kMaximum>(x, n)
                                      : ReduceRow<kMinimum>(x, n);
    }
  }

  void Rearrange(const Instruction& in, const Tile& a, int64_t r, int64_t rows) {
    const int64_t n = program_->columns;
    float* out = Destination(in, r, n);
    for (const fused::RowPart& part : in.parts)
      for (int64_t t = 0; t < rows; t++)
        UnarySegment<kCopy>(out + t * n + part.to, {a.data + t * a.row + part.from, 1}, part.width);
  }

  void Elementwise(const Instruction& in, Tile* operands, int64_t r, int64_t rows) {
    const int64_t columns = program_->is_vector[in.destination] ? program_->columns : 1;
    // With one number for each row, the rows form the segment.
    if (columns == 1)
      for (int32_t k = 0; k < in.count; k++) {
        if (operands[k].row == 1)
          operands[k].column = 1;
        else if (operands[k].row == 0)
          operands[k].column = 0;
      }
    ElementwiseTile(in.code, Destination(in, r, columns), operands, rows, columns);
  }

  /**
   * Combines the rows of one output row before it updates the output, because a long sum is more
   * exact in parts.
   */
  template <int32_t code>
  void Accumulate(int32_t index, const Tile& a, int64_t r, int64_t rows) {
    const Output& output = program_->outputs[index];
    const int64_t count = output.kind == fused::kAccumulatedVector ? program_->columns : 1;
    for (int64_t t = 0; t < rows;) {
      const int64_t position = (r + t) % output.period;
      const int64_t end = std::min(rows, t + output.period - position);
      float* to = outputs_[index] + (r + t) / output.period * count;
      float* part = position == 0 ? to : partial_row_;
      UnarySegment<kCopy>(part, {a.data + t * a.row, a.column}, count);
      for (t++; t < end; t++)
        BinarySegment<code>(part, {part, 1}, {a.data + t * a.row, a.column}, count);
      if (position != 0) BinarySegment<code>(to, {to, 1}, {part, 1}, count);
    }
  }

  std::shared_ptr<const Program> program_;
  /** Rows of the innermost outer dim, and of a tile. */
  int64_t inner_rows_ = 1, tile_ = 1;
  std::vector<float> arena_;
  /** The own memory of each register, and the memory of its current value. */
  std::vector<float*> buffers_, registers_;
  float* partial_row_ = nullptr;
  std::vector<Source> sources_;
  std::vector<Tile> input_tiles_;
  std::vector<float*> outputs_;
  std::vector<int64_t> index_;
  std::vector<Prefetch> prefetches_;
};

}  // namespace
