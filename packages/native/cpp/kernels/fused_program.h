// Programs of fused kernels, as `LapidaryFused` interprets them. The encoding is that of the
// worker's fusion/encode.ts.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace fused {

/** The location of an operand's value. */
enum OperandKind : int32_t { kRegister = 0, kInput = 1, kConstant = 2 };

struct Operand {
  int32_t kind;
  int32_t index;
};

/** `width` elements, from a position of one row to a position of another. */
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

/** The access to an input: an offset, and a stride for each outer dim. */
struct Input {
  int32_t inner;  // step inside a row. 1: a vector for each row, 0: a scalar
  int64_t offset;
  std::vector<int64_t> strides;
};

enum OutputKind : int32_t {
  kRowVector = 0,
  kRowScalar = 1,
  kAccumulatedVector = 2,  // over `period` rows
  kAccumulatedScalar = 3,  // over `period` rows
};

struct Output {
  int32_t kind;
  int64_t period;
  std::vector<int64_t> dims;
};

struct Program {
  std::vector<int64_t> outer;  // sizes of the outer dims; their product is the number of rows
  int64_t rows = 1, columns = 1;
  std::vector<Input> inputs;
  std::vector<Output> outputs;
  std::vector<float> constants;
  std::vector<int32_t> is_vector;  // by register
  std::vector<Instruction> instructions;
};

/** A program by its number; null if it does not exist. */
std::shared_ptr<const Program> FindProgram(int64_t id);

}  // namespace fused
