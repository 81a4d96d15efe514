// The formula of every elementwise op of fused kernels. An op of the table with `fusible: "unary"`
// or `"binary"` needs one overload of `Formula` here. Without it this file does not compile.
//
//     inline float Formula(Op<kLog>, float x)               one number, in a loop to be vectorized
//     LAPIDARY_INLINE Vector Formula(Op<kTanh>, Vector x)   one vector
//     template <typename T>
//     LAPIDARY_INLINE T Formula(Op<kAdd>, T a, T b)         two operands: T is float or Vector
//
// The opcodes and the lists of unary and binary opcodes come from the op table
// (opcodes.generated.h).
#pragma once

#include <cmath>
#include <type_traits>
#include <utility>

#include "opcodes.generated.h"
#include "vectors.h"

namespace {

/** An opcode as a type, by which an overload is chosen. */
template <int32_t code>
using Op = std::integral_constant<int32_t, code>;

// ---------------------------------------------------------------- one operand

inline float Formula(Op<kNegate>, float x) { return -x; }
LAPIDARY_INLINE Vector Formula(Op<kExponential>, Vector x) { return Exp(x); }
inline float Formula(Op<kLog>, float x) { return std::log(x); }
LAPIDARY_INLINE Vector Formula(Op<kTanh>, Vector x) { return Tanh(x); }
inline float Formula(Op<kSqrt>, float x) { return std::sqrt(x); }
inline float Formula(Op<kRsqrt>, float x) { return 1.0f / std::sqrt(x); }
inline float Formula(Op<kCosine>, float x) { return std::cos(x); }
inline float Formula(Op<kSine>, float x) { return std::sin(x); }
inline float Formula(Op<kAbs>, float x) { return std::fabs(x); }
inline float Formula(Op<kLogPlusOne>, float x) { return std::log1p(x); }
inline float Formula(Op<kExponentialMinusOne>, float x) { return std::expm1(x); }
inline float Formula(Op<kErf>, float x) { return std::erf(x); }
inline float Formula(Op<kErfc>, float x) { return std::erfc(x); }
inline float Formula(Op<kFloor>, float x) { return std::floor(x); }
inline float Formula(Op<kCopy>, float x) { return x; }

// ---------------------------------------------------------------- two operands

/** A predicate as a number: 1 if it is true, otherwise 0. */
template <typename T, typename Predicate>
LAPIDARY_INLINE T Number(Predicate holds) {
  const T one = 1.0f - T{}, zero = T{};
  return holds ? one : zero;
}

template <typename T>
LAPIDARY_INLINE T Formula(Op<kAdd>, T a, T b) {
  return a + b;
}
template <typename T>
LAPIDARY_INLINE T Formula(Op<kSubtract>, T a, T b) {
  return a - b;
}
template <typename T>
LAPIDARY_INLINE T Formula(Op<kMultiply>, T a, T b) {
  return a * b;
}
template <typename T>
LAPIDARY_INLINE T Formula(Op<kDivide>, T a, T b) {
  return a / b;
}
// The result is NaN if either operand is NaN.
template <typename T>
LAPIDARY_INLINE T Formula(Op<kMaximum>, T a, T b) {
  return ((b <= a) | (a != a)) ? a : b;
}
template <typename T>
LAPIDARY_INLINE T Formula(Op<kMinimum>, T a, T b) {
  return ((b >= a) | (a != a)) ? a : b;
}
template <typename T>
LAPIDARY_INLINE T Formula(Op<kAnd>, T a, T b) {
  return Number<T>((a != 0.0f) & (b != 0.0f));
}
template <typename T>
LAPIDARY_INLINE T Formula(Op<kEq>, T a, T b) {
  return Number<T>(a == b);
}
template <typename T>
LAPIDARY_INLINE T Formula(Op<kNe>, T a, T b) {
  return Number<T>(a != b);
}
template <typename T>
LAPIDARY_INLINE T Formula(Op<kLt>, T a, T b) {
  return Number<T>(a < b);
}
template <typename T>
LAPIDARY_INLINE T Formula(Op<kLe>, T a, T b) {
  return Number<T>(a <= b);
}
template <typename T>
LAPIDARY_INLINE T Formula(Op<kGt>, T a, T b) {
  return Number<T>(a > b);
}
template <typename T>
LAPIDARY_INLINE T Formula(Op<kGe>, T a, T b) {
  return Number<T>(a >= b);
}

// ---------------------------------------------------------------- the existing formulas

/** Whether an opcode has a formula of operands of these types. */
template <typename Enabled, int32_t code, typename... Operands>
struct FormulaOf : std::false_type {};
template <int32_t code, typename... Operands>
struct FormulaOf<std::void_t<decltype(Formula(Op<code>{}, std::declval<Operands>()...))>, code,
                 Operands...> : std::true_type {};
template <int32_t code, typename... Operands>
constexpr bool kHasFormula = FormulaOf<void, code, Operands...>::value;

#define LAPIDARY_CHECK_UNARY(code)                                     \
  static_assert(kHasFormula<code, float> || kHasFormula<code, Vector>, \
                "elementwise.h lacks Formula(Op<" #code ">, float x)");
#define LAPIDARY_CHECK_BINARY(code)                                                   \
  static_assert(kHasFormula<code, float, float> && kHasFormula<code, Vector, Vector>, \
                "elementwise.h lacks Formula(Op<" #code ">, T a, T b)");
LAPIDARY_UNARY_OPCODES(LAPIDARY_CHECK_UNARY)
LAPIDARY_BINARY_OPCODES(LAPIDARY_CHECK_BINARY)
#undef LAPIDARY_CHECK_UNARY
#undef LAPIDARY_CHECK_BINARY

}  // namespace
