// Elementwise operations on operands of any strides and types, for the arrays that fused kernels
// cannot write: integers, predicates, and copies.
#pragma once

#include <algorithm>
#include <cstdint>

#include "elementwise.h"
#include "opcodes.generated.h"

namespace strided {

/** The elements of a result, and where its operands are. */
struct Layout {
  int64_t rank;
  const int64_t* dims;
  /** By operand: the first element, then the stride of each dim. */
  const int64_t* operands[3];
};

/** Calls `row(result, offsets, strides, n)` for each row of the last dim. */
template <int count, typename Row>
inline void ForRows(const Layout& layout, Row row) {
  const int64_t last = layout.rank - 1;
  int64_t index[8] = {}, offsets[count], strides[count];
  for (int k = 0; k < count; k++) {
    offsets[k] = layout.operands[k][0];
    strides[k] = layout.operands[k][1 + last];
  }
  for (int64_t result = 0;; result += layout.dims[last]) {
    row(result, offsets, strides, layout.dims[last]);
    int64_t d = last - 1;
    for (; d >= 0; d--) {
      const bool wraps = ++index[d] == layout.dims[d];
      for (int k = 0; k < count; k++)
        offsets[k] += layout.operands[k][1 + d] * (wraps ? 1 - layout.dims[d] : 1);
      if (!wraps) break;
      index[d] = 0;
    }
    if (d < 0) return;
  }
}

template <typename To, typename From, typename Work>
inline void Unary(const Layout& layout, void* result, const void* x, Work work) {
  const From* const from = static_cast<const From*>(x);
  To* const to = static_cast<To*>(result);
  ForRows<1>(layout, [&](int64_t at, const int64_t* offsets, const int64_t* strides, int64_t n) {
    const From* a = from + offsets[0];
    To* out = to + at;
    if (strides[0] == 1)
      for (int64_t i = 0; i < n; i++) out[i] = work(a[i]);
    else
      for (int64_t i = 0; i < n; i++) out[i] = work(a[i * strides[0]]);
  });
}

template <typename To, typename From, typename Work>
inline void Binary(const Layout& layout, void* result, const void* x, const void* y, Work work) {
  const From *const left = static_cast<const From*>(x), *const right = static_cast<const From*>(y);
  To* const to = static_cast<To*>(result);
  ForRows<2>(layout, [&](int64_t at, const int64_t* offsets, const int64_t* strides, int64_t n) {
    const From *a = left + offsets[0], *b = right + offsets[1];
    To* out = to + at;
    if (strides[0] == 1 && strides[1] == 1)
      for (int64_t i = 0; i < n; i++) out[i] = work(a[i], b[i]);
    else if (strides[0] == 1 && strides[1] == 0)
      for (int64_t i = 0; i < n; i++) out[i] = work(a[i], *b);
    else
      for (int64_t i = 0; i < n; i++) out[i] = work(a[i * strides[0]], b[i * strides[1]]);
  });
}

template <typename T>
inline void Select(const Layout& layout, void* result, const void* p, const void* x,
                   const void* y) {
  const uint8_t* const which = static_cast<const uint8_t*>(p);
  const T *const left = static_cast<const T*>(x), *const right = static_cast<const T*>(y);
  T* const to = static_cast<T*>(result);
  ForRows<3>(layout, [&](int64_t at, const int64_t* offsets, const int64_t* strides, int64_t n) {
    const uint8_t* q = which + offsets[0];
    const T *a = left + offsets[1], *b = right + offsets[2];
    T* out = to + at;
    if (strides[0] == 1 && strides[1] == 1 && strides[2] == 0) {
      const T other = *b;
      for (int64_t i = 0; i < n; i++) out[i] = q[i] != 0 ? a[i] : other;
    } else {
      for (int64_t i = 0; i < n; i++)
        out[i] = q[i * strides[0]] != 0 ? a[i * strides[1]] : b[i * strides[2]];
    }
  });
}

/** Comparisons of operands of type T. @returns whether the code is one */
template <typename T>
inline bool Compare(int64_t code, const Layout& layout, void* result, const void* x,
                    const void* y) {
  const auto run = [&](auto work) {
    Binary<uint8_t, T>(layout, result, x, y, work);
    return true;
  };
  switch (code) {
    case kEq:
      return run([](T a, T b) { return a == b; });
    case kNe:
      return run([](T a, T b) { return a != b; });
    case kLt:
      return run([](T a, T b) { return a < b; });
    case kLe:
      return run([](T a, T b) { return a <= b; });
    case kGt:
      return run([](T a, T b) { return a > b; });
    case kGe:
      return run([](T a, T b) { return a >= b; });
    default:
      return false;
  }
}

/** Integers wrap around. A quotient is truncated towards zero. @returns whether the code is one */
inline bool Integers(int64_t code, const Layout& layout, void* result, const void* x,
                     const void* y) {
  const auto run = [&](auto work) {
    Binary<int32_t, int32_t>(layout, result, x, y, work);
    return true;
  };
  const auto wrapping = [&](auto work) {
    Binary<uint32_t, uint32_t>(layout, result, x, y, work);
    return true;
  };
  switch (code) {
    case kAdd:
      return wrapping([](uint32_t a, uint32_t b) { return a + b; });
    case kSubtract:
      return wrapping([](uint32_t a, uint32_t b) { return a - b; });
    case kMultiply:
      return wrapping([](uint32_t a, uint32_t b) { return a * b; });
    case kMaximum:
      return run([](int32_t a, int32_t b) { return std::max(a, b); });
    case kMinimum:
      return run([](int32_t a, int32_t b) { return std::min(a, b); });
    default:
      return false;
  }
}

/** Arithmetic of floats. @returns whether the code is one */
inline bool Floats(int64_t code, const Layout& layout, void* result, const void* x, const void* y) {
  const auto run = [&](auto op) {
    Binary<float, float>(layout, result, x, y,
                         [op](float a, float b) { return Formula(op, a, b); });
    return true;
  };
  switch (code) {
    case kAdd:
      return run(Op<kAdd>{});
    case kSubtract:
      return run(Op<kSubtract>{});
    case kMultiply:
      return run(Op<kMultiply>{});
    case kDivide:
      return run(Op<kDivide>{});
    case kMaximum:
      return run(Op<kMaximum>{});
    case kMinimum:
      return run(Op<kMinimum>{});
    default:
      return false;
  }
}

}  // namespace strided
