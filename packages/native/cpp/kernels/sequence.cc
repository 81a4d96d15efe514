#include "sequence.h"

#include <node_api.h>

#include <cstddef>
#include <utility>

#include "module.h"
#include "opcodes.generated.h"
#include "registry.h"

namespace sequence {
namespace {

registry::Registry<Sequence> sequences;

int64_t Product(const std::vector<int64_t>& dims) {
  int64_t product = 1;
  for (int64_t size : dims) product *= size;
  return product;
}

/** Decodes a sequence. */
class Decoder : registry::CodeReader {
 public:
  explicit Decoder(const registry::Code& code) : CodeReader(code.data, code.length) {}

  /** The sequence, or null if the code is malformed. */
  std::shared_ptr<const Sequence> Decode() {
    Sequence& s = *sequence_;
    s.inputs = Next();
    s.scratch = int64_t{64} * Next();
    for (int32_t i = Next(); ok_ && i > 0; i--) DecodeOutput();
    for (int32_t i = Next(); ok_ && i > 0; i--) DecodeValue();
    for (int32_t i = Next(); ok_ && i > 0; i--) DecodeCall();
    return IsComplete() ? sequence_ : nullptr;
  }

 private:
  void DecodeOutput() {
    OutputArray output;
    output.type = Next();
    output.alias = Next();
    output.dims = List();
    Require(output.type >= 0 && output.type <= 2);
    Require(output.alias >= -1 && output.alias < sequence_->inputs);
    sequence_->outputs.push_back(std::move(output));
  }

  void DecodeValue() {
    const Sequence& s = *sequence_;
    Value value;
    value.place = Next();
    value.at = Next();
    value.elements = Next();
    value.type = Next();
    Require(value.at >= 0 && value.elements > 0 && value.type >= 0 && value.type <= 2);
    if (value.place == kOfScratch) value.at *= 64;
    Require(value.place == kOfInput    ? value.at < s.inputs
            : value.place == kOfOutput ? value.at < static_cast<int64_t>(s.outputs.size())
                                       : value.place == kOfScratch);
    if (!ok_) return;
    if (value.place == kOfScratch) Require(value.at + value.Bytes() <= s.scratch);
    if (value.place == kOfOutput) {
      const OutputArray& output = s.outputs[value.at];
      Require(Product(output.dims) == value.elements && output.type == value.type);
    }
    sequence_->values.push_back(value);
  }

  void DecodeCall() {
    Call call;
    call.kind = Next();
    for (int64_t value : List()) call.operands.push_back(static_cast<int32_t>(value));
    for (int64_t value : List()) call.results.push_back(static_cast<int32_t>(value));
    call.numbers = List();
    for (const std::vector<int32_t>* list : {&call.operands, &call.results})
      for (int32_t value : *list)
        Require(value >= 0 && value < static_cast<int64_t>(sequence_->values.size()));
    for (int32_t value : call.results) Require(ok_ && sequence_->values[value].place != kOfInput);
    if (ok_) Require(IsWellFormed(call));
    sequence_->calls.push_back(std::move(call));
  }

  int64_t Elements(int32_t value) const { return sequence_->values[value].elements; }
  int32_t Type(int32_t value) const { return sequence_->values[value].type; }

  /** Whether a call reads and writes only its arrays. */
  bool IsWellFormed(Call& call) const {
    const std::vector<int64_t>& n = call.numbers;
    const auto has = [&](size_t operands, size_t results, size_t numbers) {
      return call.operands.size() == operands && call.results.size() == results &&
             n.size() == numbers;
    };
    const auto operand = [&](size_t i) { return Elements(call.operands[i]); };
    const auto result = [&] { return Elements(call.results[0]); };
    switch (call.kind) {
      case kFusedCall:
        if (n.size() != 1 || (call.program = fused::FindProgram(n[0])) == nullptr) return false;
        if (call.operands.size() != call.program->inputs.size()) return false;
        if (call.results.size() != call.program->outputs.size()) return false;
        for (size_t i = 0; i < call.results.size(); i++)
          if (Product(call.program->outputs[i].dims) != Elements(call.results[i])) return false;
        return true;
      case kDotCall:
        if (!has(2, 1, 1) || (call.dot = dot::FindDot(n[0])) == nullptr) return false;
        return operand(0) == call.dot->ExtentOfA() && operand(1) == call.dot->ExtentOfB() &&
               result() == Product(call.dot->dims);
      case kUpdateSliceCall: {
        if (!has(3, 1, 2) || n[0] < 1 || n[1] < 1 || operand(0) != result()) return false;
        const int64_t outer = result() / (n[0] * n[1]), row = outer * n[1];
        return outer * n[0] * n[1] == result() && operand(1) % row == 0 &&
               operand(1) / row <= n[0] && operand(2) == 1 && Type(call.operands[2]) == 1 &&
               Type(call.results[0]) != 2;
      }
      case kSliceCall: {
        if (!has(2, 1, 3) || n[0] < 1 || n[1] < 1 || n[2] < 1 || n[2] > n[0]) return false;
        const int64_t outer = operand(0) / (n[0] * n[1]);
        return outer * n[0] * n[1] == operand(0) && outer * n[2] * n[1] == result() &&
               operand(1) == 1 && Type(call.operands[1]) == 1 && Type(call.results[0]) != 2;
      }
      case kGatherCall:
        return has(2, 1, 3) && n[1] >= 1 && n[2] >= 1 && n[1] * n[2] == operand(0) &&
               operand(1) * n[2] == result() && Type(call.operands[1]) == 1 &&
               Type(call.results[0]) != 2;
      case kReduceCall:
        return has(1, 1, 4) && n[0] >= 0 && n[0] <= 2 && n[1] >= 1 && n[2] >= 1 && n[3] >= 1 &&
               n[1] * n[2] * n[3] == operand(0) && n[1] * n[3] == result() &&
               Type(call.operands[0]) == Type(call.results[0]) && Type(call.results[0]) != 2 &&
               (Type(call.results[0]) == 1 || n[0] != 0);
      case kStridedCall:
        return IsWellFormedStrided(call);
      case kUniformCall:
        return has(3, 1, 0) && operand(0) == 1 && operand(1) * operand(2) == result() &&
               Type(call.operands[0]) == 1 && Type(call.operands[1]) == 1 &&
               Type(call.operands[2]) == 1 && Type(call.results[0]) == 0;
      default:
        return false;
    }
  }

  bool IsWellFormedStrided(const Call& call) const {
    const std::vector<int64_t>& n = call.numbers;
    const size_t operands = call.operands.size();
    if (operands < 1 || operands > 3 || call.results.size() != 1 || n.size() < 2) return false;
    const size_t rank = n[1] < 1 || n[1] > 8 ? 9 : static_cast<size_t>(n[1]);
    if (n.size() != 2 + rank + operands * (1 + rank)) return false;
    int64_t size = 1;
    for (size_t d = 0; d < rank; d++) size *= n[2 + d];
    if (size != Elements(call.results[0])) return false;
    for (size_t i = 0; i < operands; i++) {
      const int64_t* layout = n.data() + 2 + rank + i * (1 + rank);
      int64_t last = layout[0];
      for (size_t d = 0; d < rank; d++) {
        if (n[2 + d] < 1 || layout[1 + d] < 0) return false;
        last += (n[2 + d] - 1) * layout[1 + d];
      }
      if (layout[0] < 0 || last >= Elements(call.operands[i])) return false;
    }
    return true;
  }

  std::shared_ptr<Sequence> sequence_ = std::make_shared<Sequence>();
};

/** registerSequence(code: Int32Array) → number of the sequence. */
napi_value RegisterSequence(napi_env env, napi_callback_info info) {
  registry::Code code;
  if (!registry::ReadCode(env, info, "registerSequence expects an Int32Array", &code))
    return nullptr;
  return sequences.Add(env, Decoder(code).Decode(), "the code of the sequence is malformed");
}

}  // namespace

std::shared_ptr<const Sequence> FindSequence(int64_t id) { return sequences.Find(id); }

}  // namespace sequence

void ExportSequence(napi_env env, napi_value exports) {
  napi_value function;
  napi_create_function(env, "registerSequence", NAPI_AUTO_LENGTH, sequence::RegisterSequence,
                       nullptr, &function);
  napi_set_named_property(env, exports, "registerSequence", function);
}
