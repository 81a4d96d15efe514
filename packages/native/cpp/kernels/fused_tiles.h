// Instructions of fused kernels on tiles: rows of numbers, or one number for each row.
#pragma once

#include <cstdint>
#include <limits>

#include "common/loops.h"
#include "elementwise.h"
#include "vectors.h"

namespace {

/** Consecutive numbers of an operand. `step` 0 repeats the first one. */
struct Segment {
  const float* data;
  int64_t step;
};

/** An operand over a tile: element (t, c) is data[t·row + c·column]. */
struct Tile {
  const float* data;
  int64_t row;
  int64_t column;  // 0 or 1
};

/** An operand of a vector loop: consecutive numbers. */
struct ContiguousOperand {
  const float* data;
  LAPIDARY_INLINE Vector At(int64_t i) const { return Load(data + i); }
  LAPIDARY_INLINE Vector First(int64_t n) const { return LoadFirst(data, n); }
};

/** An operand of a vector loop: one number for all lanes. */
struct BroadcastOperand {
  Vector all;
  explicit BroadcastOperand(const float* x) : all(Broadcast(*x)) {}
  LAPIDARY_INLINE Vector At(int64_t) const { return all; }
  LAPIDARY_INLINE Vector First(int64_t) const { return all; }
};

/**
 * out[i] = work(operands[i]…), a vector at a time. The last vector may overlap the preceding one.
 * Its operands are read first, because results may overwrite operands.
 */
template <typename Work, typename... Operands>
LAPIDARY_INLINE void ForVectors(float* out, int64_t n, Work work, Operands... operands) {
  if (n < kLanes) return StoreFirst(out, n, work(operands.First(n)...));
  const Vector last = work(operands.At(n - kLanes)...);
  for (int64_t i = 0; i + kLanes < n; i += kLanes) Store(out + i, work(operands.At(i)...));
  Store(out + n - kLanes, last);
}

template <int32_t code>
inline void UnarySegment(float* out, Segment a, int64_t n) {
  const float* x = a.data;
  if constexpr (kHasFormula<code, Vector>) {
    if (a.step != 0)
      return ForVectors(
          out, n, [](Vector v) { return Formula(Op<code>{}, v); }, ContiguousOperand{x});
    const float value = Formula(Op<code>{}, Broadcast(*x))[0];
    for (int64_t i = 0; i < n; i++) out[i] = value;
  } else if (a.step == 0) {
    const float value = Formula(Op<code>{}, *x);
    for (int64_t i = 0; i < n; i++) out[i] = value;
  } else {
    LAPIDARY_INDEPENDENT
    for (int64_t i = 0; i < n; i++) out[i] = Formula(Op<code>{}, x[i]);
  }
}

/** Calls `work` with the operand that reads a segment. */
template <typename Work>
LAPIDARY_INLINE void WithOperand(Segment segment, Work work) {
  if (segment.step != 0)
    work(ContiguousOperand{segment.data});
  else
    work(BroadcastOperand(segment.data));
}

template <int32_t code>
inline void BinarySegment(float* out, Segment a, Segment b, int64_t n) {
  const auto work = [](Vector x, Vector y) { return Formula(Op<code>{}, x, y); };
  WithOperand(a, [&](auto x) { WithOperand(b, [&](auto y) { ForVectors(out, n, work, x, y); }); });
}

inline void SelectSegment(float* out, Segment p, Segment a, Segment b, int64_t n) {
  // Both operands are read, so that the lanes have no branches.
  const auto select = [](Vector q, Vector x, Vector y) { return q != 0.0f ? x : y; };
  WithOperand(p, [&](auto q) {
    WithOperand(
        a, [&](auto x) { WithOperand(b, [&](auto y) { ForVectors(out, n, select, q, x, y); }); });
  });
}

/** Whether the rows of a tile form one segment: its elements are consecutive, or all the same. */
inline bool IsOneSegment(const Tile& a, int64_t columns) { return a.row == a.column * columns; }

/**
 * Calls `work(out, segments, n)` once for all rows if the operands allow it, otherwise once for
 * each row. A tile with one number for each row is passed as one column whose rows form the
 * segment.
 */
template <int count, typename Work>
inline void ForSegments(float* out, const Tile* operands, int64_t rows, int64_t columns,
                        Work work) {
  Segment segments[3] = {};
  bool whole = true;
  for (int k = 0; k < count; k++) {
    whole = whole && IsOneSegment(operands[k], columns);
    segments[k] = {operands[k].data, operands[k].column};
  }
  if (whole) return work(out, segments, rows * columns);
  for (int64_t t = 0; t < rows; t++) {
    for (int k = 0; k < count; k++) segments[k].data = operands[k].data + t * operands[k].row;
    work(out + t * columns, segments, columns);
  }
}

template <int32_t code>
void UnaryTile(float* out, const Tile* operands, int64_t rows, int64_t columns) {
  ForSegments<1>(out, operands, rows, columns, [](float* to, const Segment* segments, int64_t n) {
    UnarySegment<code>(to, segments[0], n);
  });
}

template <int32_t code>
void BinaryTile(float* out, const Tile* operands, int64_t rows, int64_t columns) {
  ForSegments<2>(out, operands, rows, columns, [](float* to, const Segment* segments, int64_t n) {
    BinarySegment<code>(to, segments[0], segments[1], n);
  });
}

void SelectTile(float* out, const Tile* operands, int64_t rows, int64_t columns) {
  ForSegments<3>(out, operands, rows, columns, [](float* to, const Segment* segments, int64_t n) {
    SelectSegment(to, segments[0], segments[1], segments[2], n);
  });
}

/**
 * The sum of a row in four groups of sixteen lanes. The result does not depend on the vector width
 * of the machine, and is more exact than one running sum.
 */
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

/** The maximum or minimum of a row; NaN if the row contains a NaN. */
template <int32_t code>
float ReduceRow(const float* x, int64_t n) {
  if (n < 16) {
    float value = x[0];
    for (int64_t i = 1; i < n; i++) value = Formula(Op<code>{}, value, x[i]);
    return value;
  }
  // A comparison may lose a NaN, so NaNs are recorded separately. The last sixteen elements may be
  // read twice.
  constexpr int64_t k16 = 16 / kLanes;
  Vector best[k16];
  IntVector nan[k16];
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
  for (int64_t k = 0; k < k16; k++)
    best[k] = nan[k] ? Broadcast(std::numeric_limits<float>::quiet_NaN()) : best[k];
  return Fold16(best, [](auto a, auto b) { return Formula(Op<code>{}, a, b); });
}

/** An elementwise instruction on a tile. */
void ElementwiseTile(int32_t code, float* out, const Tile* operands, int64_t rows,
                     int64_t columns) {
  switch (code) {
#define UNARY(code)                                \
  case code:                                       \
    UnaryTile<code>(out, operands, rows, columns); \
    break;
    LAPIDARY_UNARY_OPCODES(UNARY)
    UNARY(kCopy)
#undef UNARY
#define BINARY(code)                                \
  case code:                                        \
    BinaryTile<code>(out, operands, rows, columns); \
    break;
    LAPIDARY_BINARY_OPCODES(BINARY)
#undef BINARY
    case kSelect:
      SelectTile(out, operands, rows, columns);
      break;
    default:
      break;
  }
}

template <typename From>
void ConvertRow(float* out, const From* in, int64_t n) {
  LAPIDARY_INDEPENDENT
  for (int64_t i = 0; i < n; i++) out[i] = static_cast<float>(in[i]);
}

}  // namespace
