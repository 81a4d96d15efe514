// Sequences: several kernels of one program, which `LapidarySequence` runs in one call. The encoding
// is that of the executor's sequence/encode.ts.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "dot.h"
#include "fused_program.h"

namespace sequence {

enum Place : int32_t { kOfInput = 0, kOfOutput = 1, kOfScratch = 2 };

/** An array that calls read or write. */
struct Value {
  int32_t place;
  /** The number of the input or output, or the first byte in the scratch memory. */
  int64_t at;
  int64_t elements;
  int32_t type;  // ArrayType of fused_runner.h
  int64_t Bytes() const { return elements * (type == 2 ? 1 : 4); }
};

struct OutputArray {
  int32_t type;
  /** The input whose memory the output takes if the caller allows it, or -1. */
  int32_t alias;
  std::vector<int64_t> dims;
};

enum CallKind : int32_t {
  kFusedCall = 0,        // program
  kDotCall = 1,          // dot
  kUpdateSliceCall = 2,  // whole, inner
  kSliceCall = 3,        // whole, inner, size
  kGatherCall = 4,       // first row, rows, width
  kReduceCall = 5,       // 0 sum, 1 max, 2 min; outer, size, inner
  kStridedCall = 6,      // operation, rank, dims, and for each operand: offset, strides
  kUniformCall = 7,      // none
};

/** Operations of `kStridedCall` that are not opcodes. */
enum Operation : int32_t { kConvertOperation = 100, kCopyOperation = 101 };

struct Call {
  int32_t kind;
  /** Indices of values. */
  std::vector<int32_t> operands, results;
  std::vector<int64_t> numbers;
  std::shared_ptr<const fused::Program> program;
  std::shared_ptr<const dot::Dot> dot;
};

struct Sequence {
  std::vector<Value> values;
  int32_t inputs = 0;
  std::vector<OutputArray> outputs;
  int64_t scratch = 0;  // bytes
  std::vector<Call> calls;
};

/** A sequence by its number; null if it does not exist. */
std::shared_ptr<const Sequence> FindSequence(int64_t id);

}  // namespace sequence
