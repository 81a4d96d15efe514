#include "fused_program.h"

#include <node_api.h>

#include <cstddef>
#include <utility>

#include "module.h"
#include "opcodes.generated.h"
#include "registry.h"

namespace fused {
namespace {

registry::Registry<Program> programs;

/** Decodes a program. */
class Decoder : registry::CodeReader {
 public:
  Decoder(const int32_t* code, size_t length, const float* constants, size_t constant_count)
      : CodeReader(code, length) {
    program_->constants.assign(constants, constants + constant_count);
  }

  /** The program, or null if the code is malformed. */
  std::shared_ptr<Program> Decode() {
    Program& p = *program_;
    p.outer = List();
    for (int64_t size : p.outer) p.rows *= size;
    p.columns = Next();
    for (int32_t i = Next(); ok_ && i > 0; i--) DecodeInput();
    for (int32_t i = Next(); ok_ && i > 0; i--) DecodeOutput();
    for (int64_t vector : List()) p.is_vector.push_back(static_cast<int32_t>(vector));
    for (int32_t i = Next(); ok_ && i > 0; i--) DecodeInstruction();
    if (!IsComplete() || p.columns <= 0) return nullptr;
    MergeOuterDims();
    return program_;
  }

 private:
  void DecodeInput() {
    Input input;
    input.inner = Next();
    input.offset = Next();
    input.strides = List();
    Require(input.strides.size() == program_->outer.size());
    program_->inputs.push_back(std::move(input));
  }

  void DecodeOutput() {
    Output output;
    output.kind = Next();
    output.period = Next();
    Require(output.period > 0);
    output.dims = List();
    program_->outputs.push_back(std::move(output));
  }

  void DecodeInstruction() {
    const Program& p = *program_;
    Instruction instruction{};
    instruction.code = Next();
    instruction.destination = Next();
    instruction.output = Next();
    instruction.count = Next();
    Require(instruction.count >= 1 && instruction.count <= 3);
    Require(instruction.code >= 0 && instruction.code < kCodes);
    Require(IsIndex(instruction.destination, p.is_vector.size()));
    const bool accumulates =
        instruction.code == kAccSum || instruction.code == kAccMax || instruction.code == kAccMin;
    Require((instruction.output == -1 && !accumulates) ||
            IsIndex(instruction.output, p.outputs.size()));
    for (int32_t k = 0; ok_ && k < instruction.count; k++) {
      Operand& operand = instruction.operands[k];
      operand.kind = Next();
      operand.index = Next();
      Require(operand.kind >= kRegister && operand.kind <= kConstant);
      Require(IsIndex(operand.index, operand.kind == kRegister ? p.is_vector.size()
                                     : operand.kind == kInput  ? p.inputs.size()
                                                               : p.constants.size()));
    }
    if (ok_ && instruction.code == kRearrange) DecodeRowParts(instruction);
    program_->instructions.push_back(std::move(instruction));
  }

  /** A rearrangement copies parts of the rows of a vector to other positions. */
  void DecodeRowParts(Instruction& instruction) {
    const Program& p = *program_;
    const std::vector<int64_t> numbers = List();
    const Operand& source = instruction.operands[0];
    Require(numbers.size() % 3 == 0 && p.is_vector[instruction.destination]);
    Require(source.kind == kRegister ? p.is_vector[source.index] != 0
                                     : source.kind == kInput && p.inputs[source.index].inner == 1);
    for (size_t k = 0; ok_ && k < numbers.size(); k += 3) {
      const RowPart part = {numbers[k], numbers[k + 1], numbers[k + 2]};
      Require(part.from >= 0 && part.to >= 0 && part.width > 0);
      Require(part.from + part.width <= p.columns && part.to + part.width <= p.columns);
      instruction.parts.push_back(part);
    }
  }

  /**
   * Merges adjacent outer dims if every input has one stride for both. Tiles then have more rows.
   */
  void MergeOuterDims() {
    Program& p = *program_;
    for (size_t d = p.outer.size(); d-- > 1;) {
      bool even = true;
      for (const Input& input : p.inputs)
        even = even && input.strides[d - 1] == input.strides[d] * p.outer[d];
      if (!even) continue;
      p.outer[d - 1] *= p.outer[d];
      p.outer.erase(p.outer.begin() + d);
      for (Input& input : p.inputs) {
        input.strides[d - 1] = input.strides[d];
        input.strides.erase(input.strides.begin() + d);
      }
    }
  }

  static bool IsIndex(int32_t index, size_t bound) {
    return index >= 0 && static_cast<size_t>(index) < bound;
  }

  std::shared_ptr<Program> program_ = std::make_shared<Program>();
};

/** registerProgram(code: Int32Array, constants: Float32Array) → number of the program. */
napi_value RegisterProgram(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value args[2];
  napi_get_cb_info(env, info, &argc, args, nullptr, nullptr);
  const napi_typedarray_type expected[2] = {napi_int32_array, napi_float32_array};
  size_t lengths[2];
  void* data[2];
  for (int i = 0; i < 2; i++) {
    napi_typedarray_type type;
    if (argc < 2 ||
        napi_get_typedarray_info(env, args[i], &type, &lengths[i], &data[i], nullptr, nullptr) !=
            napi_ok ||
        type != expected[i]) {
      napi_throw_type_error(env, nullptr,
                            "registerProgram expects an Int32Array and a Float32Array");
      return nullptr;
    }
  }
  std::shared_ptr<Program> program = Decoder(static_cast<const int32_t*>(data[0]), lengths[0],
                                             static_cast<const float*>(data[1]), lengths[1])
                                         .Decode();
  return programs.Add(env, std::move(program), "the code of the fused program is malformed");
}

}  // namespace

std::shared_ptr<const Program> FindProgram(int64_t id) { return programs.Find(id); }

}  // namespace fused

void ExportFused(napi_env env, napi_value exports) {
  napi_value function;
  napi_create_function(env, "registerProgram", NAPI_AUTO_LENGTH, fused::RegisterProgram, nullptr,
                       &function);
  napi_set_named_property(env, exports, "registerProgram", function);
  // The worker rejects a library that was compiled for another list.
  napi_value opcodes;
  napi_create_string_utf8(env, LAPIDARY_OPCODE_LIST, NAPI_AUTO_LENGTH, &opcodes);
  napi_set_named_property(env, exports, "opcodes", opcodes);
}
