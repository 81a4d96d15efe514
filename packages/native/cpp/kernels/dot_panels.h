// Matmuls of eight or more rows whose right operand has contiguous k (dot.cc). The right operand is
// read once, as it is. Sums have the order of matmuls with fewer rows, so that a row has the same
// bits in both.
//
//     for 16 columns, for 512 numbers of k, for 2 of the columns, for 8 rows:
//         16 sums, each in the lanes of a vector
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "dot.h"
#include "vectors.h"

#if defined(__AVX512F__)

namespace dot {
namespace {

/** The sums of the lanes of sixteen vectors. */
LAPIDARY_INLINE Vector SumsOfLanes(const Vector (&x)[16]) {
  __m512 pairs[8], quads[4];
  for (int i = 0; i < 8; i++)
    pairs[i] = _mm512_add_ps(_mm512_unpacklo_ps(x[2 * i], x[2 * i + 1]),
                             _mm512_unpackhi_ps(x[2 * i], x[2 * i + 1]));
  for (int i = 0; i < 4; i++) {
    const __m512d low = _mm512_castps_pd(pairs[2 * i]), high = _mm512_castps_pd(pairs[2 * i + 1]);
    quads[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(low, high)),
                             _mm512_castpd_ps(_mm512_unpackhi_pd(low, high)));
  }
  const auto join = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xdd));
  };
  return join(join(quads[0], quads[1]), join(quads[2], quads[3]));
}

/**
 * Rows and columns of a block of MultiplyPanels, and its length along k, so that a panel of A stays in
 * the first-level cache.
 */
constexpr int64_t kPanelRows = 8, kPanelColumns = 2, kPanelDepth = 512;
/** Columns whose sums are kept while k is traversed in pieces, and the pairs of them. */
constexpr int64_t kGroupColumns = 16, kGroupPairs = kGroupColumns / kPanelColumns;
/**
 * Numbers of B between a prefetch and its use. The sums over eight rows of fewer numbers take less
 * time than a read from the last-level cache.
 */
constexpr int64_t kPrefetchDistance = 2048;

/** Two columns of B from some k on. */
struct ColumnPair {
  const float* data[kPanelColumns];
};

/**
 * Adds the products of a panel of A (chunks of eight rows of sixteen numbers) and two columns of B to
 * sixteen sums. Prefetches the columns of `later` if the template parameter is true.
 */
template <bool prefetches>
LAPIDARY_INLINE void AddPanel(const float* panel, const ColumnPair& b, const ColumnPair& later,
                              int64_t k, Vector (&sum)[16]) {
  int64_t at = 0;
  for (; at + kLanes <= k; at += kLanes, panel += kPanelRows * kLanes) {
    if (prefetches) {
      _mm_prefetch(later.data[0] + at, _MM_HINT_T0);
      _mm_prefetch(later.data[1] + at, _MM_HINT_T0);
    }
    const Vector y0 = Load(b.data[0] + at), y1 = Load(b.data[1] + at);
#pragma GCC unroll 8
    for (int i = 0; i < kPanelRows; i++) {
      Vector x = Load(panel + i * kLanes);
      // One load for both sums: compilers load it twice otherwise, and loads limit the speed.
      asm("" : "+v"(x));
      sum[2 * i] += x * y0;
      sum[2 * i + 1] += x * y1;
    }
  }
  if (at == k) return;
  const Vector y0 = LoadFirst(b.data[0] + at, k - at), y1 = LoadFirst(b.data[1] + at, k - at);
  for (int i = 0; i < kPanelRows; i++) {
    const Vector x = Load(panel + i * kLanes);
    sum[2 * i] += x * y0;
    sum[2 * i + 1] += x * y1;
  }
}

/** Memory of panels and sums. */
struct Panels {
  std::vector<Vector> memory;
  Vector* Take(int64_t vectors) {
    if (static_cast<int64_t>(memory.size()) < vectors) memory.resize(vectors);
    return memory.data();
  }
};

/** Columns j and j + 1 from k on. A column after the last repeats the last one. */
LAPIDARY_INLINE ColumnPair ColumnsAt(const Dot& dot, const float* b, int64_t j, int64_t k) {
  const int64_t first = std::min(j, dot.n - 1), second = std::min(j + 1, dot.n - 1);
  return {{b + first * dot.column + k, b + second * dot.column + k}};
}

/** The pair of columns that is read some pairs, at most a group, after pair `pair` of a group. */
LAPIDARY_INLINE ColumnPair LaterColumns(const Dot& dot, const float* b, int64_t group, int64_t k,
                                        int64_t pair) {
  if (pair >= kGroupPairs) {
    pair -= kGroupPairs;
    k += kPanelDepth;
    if (k >= dot.k) {
      k = 0;
      group += kGroupColumns;
    }
  }
  return ColumnsAt(dot, b, group + pair * kPanelColumns, k);
}

/**
 * One matmul of a multiple of eight rows with k contiguous in B. A is copied into panels in the order
 * in which it is read, because rows of some lengths compete for the same cache lines. B is read once.
 */
void MultiplyPanels(const Dot& dot, int64_t rows, const float* a, const float* b, float* c) {
  static thread_local Panels memory;
  const int64_t groups = rows / kPanelRows, chunks = (dot.k + kLanes - 1) / kLanes;
  Vector* const sums =
      memory.Take(groups * chunks * kPanelRows + groups * kGroupColumns * kPanelRows);
  Vector* const panels = sums + groups * kGroupColumns * kPanelRows;
  for (int64_t i = 0; i < rows; i++)
    for (int64_t chunk = 0; chunk < chunks; chunk++) {
      const float* x = a + i * dot.row + chunk * kLanes;
      const int64_t left = dot.k - chunk * kLanes;
      panels[(i / kPanelRows * chunks + chunk) * kPanelRows + i % kPanelRows] =
          left >= kLanes ? Load(x) : LoadFirst(x, left);
    }
  const int64_t ahead = std::clamp<int64_t>(
      kPrefetchDistance / (kPanelColumns * std::min(dot.k, kPanelDepth)), 1, kGroupPairs);
  for (int64_t j0 = 0; j0 < dot.n; j0 += kGroupColumns) {
    const int64_t end = std::min(dot.n, j0 + kGroupColumns);
    for (int64_t k0 = 0; k0 < dot.k; k0 += kPanelDepth) {
      const int64_t deep = std::min(kPanelDepth, dot.k - k0);
      const bool is_last = k0 + deep == dot.k;
      for (int64_t j = j0; j < end; j += kPanelColumns) {
        const bool has_second = j + 1 < dot.n;
        // The results of a column that repeats the last one are not stored.
        const ColumnPair pair = ColumnsAt(dot, b, j, k0);
        const ColumnPair later = LaterColumns(dot, b, j0, k0, (j - j0) / kPanelColumns + ahead);
        for (int64_t g = 0; g < groups; g++) {
          Vector sum[16];
          Vector* const kept = sums + ((j - j0) / kPanelColumns * groups + g) * 16;
          if (k0 == 0)
            for (int v = 0; v < 16; v++) sum[v] = Vector{};
          else
            for (int v = 0; v < 16; v++) sum[v] = kept[v];
          const float* panel =
              reinterpret_cast<const float*>(panels + (g * chunks + k0 / kLanes) * kPanelRows);
          if (g == 0)
            AddPanel<true>(panel, pair, later, deep, sum);
          else
            AddPanel<false>(panel, pair, later, deep, sum);
          if (!is_last) {
            for (int v = 0; v < 16; v++) kept[v] = sum[v];
            continue;
          }
          float results[16];
          Store(results, SumsOfLanes(sum));
          float* to = c + g * kPanelRows * dot.n + j;
          if (has_second)
            for (int i = 0; i < kPanelRows; i++, to += dot.n) std::memcpy(to, results + 2 * i, 8);
          else
            for (int i = 0; i < kPanelRows; i++, to += dot.n) *to = results[2 * i];
        }
      }
    }
  }
}

}  // namespace
}  // namespace dot

#endif
