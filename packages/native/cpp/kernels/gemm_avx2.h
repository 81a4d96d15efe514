// Matmul on processors with AVX2: packing, and 6 × 16 sums in twelve registers.
//
// These processors cannot multiply bf16. Operands are rounded while they are packed, and multiplied
// as f32.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "gemm.h"

namespace gemm {

constexpr int64_t kRows = 6, kColumns = 16, kLanes = 8;
constexpr int64_t kBlockM = 96, kBlockN = 1024, kBlockK = 256;

using Word = float;

/** Elements along k in a word. */
template <bool>
constexpr int64_t kEach = 1;

/** Measured: 64 to 84 GFLOP/s, TensorFlow 38 to 77, peak 92. */
constexpr bool kFasterThanTensorFlow = true;

constexpr bool kHasBf16 = true;

/** The first `count` lanes. */
inline __m256i Lanes(int64_t count) {
  return _mm256_cmpgt_epi32(
      _mm256_set1_epi32(static_cast<int32_t>(std::clamp<int64_t>(count, 0, 8))),
      _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

/** Rounds to bf16, ties to even. A NaN stays a NaN. */
template <bool bf16>
inline __m256 Rounded(__m256 x) {
  if constexpr (!bf16) return x;
  const __m256i bits = _mm256_castps_si256(x);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i kept = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));
  const __m256i chosen =
      _mm256_blendv_epi8(up, kept, _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q)));
  return _mm256_castsi256_ps(
      _mm256_and_si256(chosen, _mm256_set1_epi32(static_cast<int32_t>(0xffff0000))));
}

/** Transposes a square. */
inline void Transpose(__m256 (&r)[8]) {
  __m256 t[8];
  for (int i = 0; i < 4; i++) {
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 2; i++) {
    r[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
    r[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xee);
    r[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
    r[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xee);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x20);
    t[i + 4] = _mm256_permute2f128_ps(r[i], r[i + 4], 0x31);
  }
  for (int i = 0; i < 8; i++) r[i] = t[i];
}

/** Stores up to eight words in a panel of `width`; only the first six in a left panel. */
template <int64_t width>
inline void Store(float* to, __m256 x) {
  if constexpr (width == kRows) {
    _mm_storeu_ps(to, _mm256_castps256_ps128(x));
    _mm_storel_pi(reinterpret_cast<__m64*>(to + 4), _mm256_extractf128_ps(x, 1));
  } else {
    _mm256_storeu_ps(to, x);
  }
}

/**
 * Packs `rows` × `depth` of an operand into panels of `width` of its free dim: panel p has
 * element k of its row i at [p·width·depth + k·width + i]. Missing rows are 0.
 */
template <bool bf16, int64_t width>
void Pack(const Matrix& from, int64_t rows, int64_t depth, Word* to) {
  if (from.free == 1) {
    // The free dim is contiguous. A few rows at a time, in whole cache lines: rows of some strides
    // compete for the same cache set.
    constexpr int64_t few = 8;
    for (int64_t k0 = 0; k0 < depth; k0 += few) {
      const int64_t end = std::min(depth, k0 + few);
      for (int64_t i = 0; i < rows; i += width) {
        Word* panel = to + i * depth;
        if (i + (width + 7) / 8 * 8 <= rows) {
          for (int64_t k = k0; k < end; k++) {
            const float* x = from.data + k * from.depth + i;
            if (k + few < depth) _mm_prefetch(x + few * from.depth, _MM_HINT_T0);
            for (int64_t v = 0; v < width; v += 8)
              Store<width>(panel + k * width + v, Rounded<bf16>(_mm256_loadu_ps(x + v)));
          }
        } else {
          for (int64_t k = k0; k < end; k++)
            for (int64_t v = 0; v < width; v += 8)
              Store<width>(panel + k * width + v,
                           Rounded<bf16>(_mm256_maskload_ps(from.data + k * from.depth + i + v,
                                                            Lanes(std::min(width, rows - i) - v))));
        }
      }
    }
    return;
  }
  constexpr int64_t high = std::min<int64_t>(8, width);
  for (int64_t i = 0; i < rows; i += high) {
    const int64_t count = std::min(high, rows - i);
    Word* panel = to + i / width * width * depth + i % width;
    const float* row[8];
    for (int64_t j = 0; j < 8; j++) row[j] = from.data + (i + std::min(j, count - 1)) * from.free;
    for (int64_t k = 0; k < depth; k += 8) {
      const int64_t deep = std::min<int64_t>(8, depth - k);
      if (k % 16 == 0 && i + 2 * high <= rows)
        for (int64_t j = 0; j < high; j++) _mm_prefetch(row[j] + high * from.free + k, _MM_HINT_T0);
      __m256 r[8];
      if (deep == 8) {
        for (int64_t j = 0; j < 8; j++)
          r[j] = j < high ? Rounded<bf16>(_mm256_loadu_ps(row[j] + k)) : _mm256_setzero_ps();
      } else {
        for (int64_t j = 0; j < 8; j++)
          r[j] = j < high ? Rounded<bf16>(_mm256_maskload_ps(row[j] + k, Lanes(deep)))
                          : _mm256_setzero_ps();
      }
      for (int64_t j = count; j < high; j++) r[j] = _mm256_setzero_ps();
      Transpose(r);
      if (deep == 8) {
        for (int64_t j = 0; j < 8; j++) Store<width>(panel + (k + j) * width, r[j]);
      } else {
        for (int64_t j = 0; j < deep; j++) Store<width>(panel + (k + j) * width, r[j]);
      }
    }
  }
  // The half of a panel without rows.
  if constexpr (width > 8) {
    const int64_t done = (rows + 7) / 8 * 8;
    if (done % width != 0)
      for (int64_t k = 0; k < depth; k++)
        _mm256_storeu_ps(to + done / width * width * depth + done % width + k * width,
                         _mm256_setzero_ps());
  }
}

/** 6 × 16 (or 6 × 8) sums over `words`, written to C or added to it. */
template <bool bf16, int vectors>
inline void Kernel(const Word* a, const Word* b, int64_t words, float* c, int64_t stride,
                   int64_t rows, int64_t columns, bool add) {
  __m256 sum[kRows][vectors];
  for (int i = 0; i < kRows; i++)
    for (int v = 0; v < vectors; v++) sum[i][v] = _mm256_setzero_ps();
  // Prefetches the memory of the sums while they are computed.
  for (int64_t i = 0; i < std::min(rows, kRows); i++) {
    _mm_prefetch(c + i * stride, _MM_HINT_T0);
    _mm_prefetch(c + i * stride + columns - 1, _MM_HINT_T0);
  }
  for (int64_t k = 0; k < words; k++) {
    __m256 y[vectors];
    for (int v = 0; v < vectors; v++) y[v] = _mm256_load_ps(b + k * kColumns + 8 * v);
#pragma GCC unroll 6
    for (int i = 0; i < kRows; i++) {
      const __m256 x = _mm256_broadcast_ss(a + k * kRows + i);
      for (int v = 0; v < vectors; v++) sum[i][v] = _mm256_fmadd_ps(x, y[v], sum[i][v]);
    }
  }
  for (int i = 0; i < kRows; i++) {
    if (i >= rows) break;
    for (int v = 0; v < vectors; v++) {
      float* to = c + i * stride + 8 * v;
      if (columns >= 8 * (v + 1)) {
        _mm256_storeu_ps(to, add ? _mm256_add_ps(sum[i][v], _mm256_loadu_ps(to)) : sum[i][v]);
      } else {
        const __m256i mask = Lanes(columns - 8 * v);
        _mm256_maskstore_ps(
            to, mask, add ? _mm256_add_ps(sum[i][v], _mm256_maskload_ps(to, mask)) : sum[i][v]);
      }
    }
  }
}

}  // namespace gemm
