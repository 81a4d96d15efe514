// Matmul on processors with AVX-512: packing, and 8 × 32 sums in sixteen registers.
//
// A packed word has 32 bits: an f32, or two neighbours along k in bf16. The processor multiplies
// and adds both in one instruction if it has it.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <cstdint>

#include "gemm.h"

namespace gemm {

constexpr int64_t kRows = 8, kColumns = 32, kLanes = 16;
constexpr int64_t kBlockM = 128, kBlockN = 512, kBlockK = 256;  // K in words

using Word = uint32_t;

/** Elements along k in a word. */
template <bool bf16>
constexpr int64_t kEach = bf16 ? 2 : 1;

/** TensorFlow's f32 matmul is as fast. */
constexpr bool kFasterThanTensorFlow = false;

#if defined(__AVX512BF16__)
constexpr bool kHasBf16 = true;
#else
constexpr bool kHasBf16 = false;
#endif

/** The first `count` lanes. */
inline __mmask16 Mask(int64_t count) {
  return count >= 16 ? 0xffff : count <= 0 ? 0 : static_cast<__mmask16>((1u << count) - 1);
}

/** Sixteen words along k: up to sixteen f32, or up to 32 elements rounded to bf16. */
template <bool bf16>
inline __m512i WordsAlongK(const float* x, int64_t elements) {
  if constexpr (!bf16) return _mm512_castps_si512(_mm512_maskz_loadu_ps(Mask(elements), x));
#if defined(__AVX512BF16__)
  else
    return (__m512i)_mm512_cvtne2ps_pbh(
        elements > 16 ? _mm512_maskz_loadu_ps(Mask(elements - 16), x + 16) : _mm512_setzero_ps(),
        _mm512_maskz_loadu_ps(Mask(elements), x));
#else
  else
    return _mm512_setzero_si512();
#endif
}

/**
 * Sixteen words along the free dim: a row of f32, or two rows rounded to bf16 and paired. `next` is
 * null if the second row is missing.
 */
template <bool bf16>
inline __m512i WordsAlongFree(const float* x, [[maybe_unused]] const float* next, __mmask16 mask) {
  const __m512 low = _mm512_maskz_loadu_ps(mask, x);
  if constexpr (!bf16) return _mm512_castps_si512(low);
#if defined(__AVX512BF16__)
  else {
    const __m512 high = next == nullptr ? _mm512_setzero_ps() : _mm512_maskz_loadu_ps(mask, next);
    const __m512i pair =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(pair, (__m512i)_mm512_cvtne2ps_pbh(high, low));
  }
#else
  else
    return _mm512_setzero_si512();
#endif
}

/** Transposes a square. */
inline void Transpose(__m512i (&r)[16]) {
  __m512i t[16];
  for (int i = 0; i < 8; i++) {
    t[2 * i] = _mm512_unpacklo_epi32(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm512_unpackhi_epi32(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 4; i++) {
    r[4 * i] = _mm512_unpacklo_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 1] = _mm512_unpackhi_epi64(t[4 * i], t[4 * i + 2]);
    r[4 * i + 2] = _mm512_unpacklo_epi64(t[4 * i + 1], t[4 * i + 3]);
    r[4 * i + 3] = _mm512_unpackhi_epi64(t[4 * i + 1], t[4 * i + 3]);
  }
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

/**
 * Packs `rows` × `depth` (elements) of an operand into panels of `width` of its free dim: panel p
 * has word k of its row i at [p·width·words + k·width + i]. Missing rows are 0.
 */
template <bool bf16, int64_t width>
void Pack(const Matrix& from, int64_t rows, int64_t depth, Word* to) {
  constexpr int64_t each = bf16 ? 2 : 1;
  const int64_t words = (depth + each - 1) / each;
  if (from.free == 1) {
    // The free dim is contiguous. A few rows at a time, in whole cache lines: rows of some strides
    // compete for the same cache set.
    constexpr int64_t few = 8;
    for (int64_t k0 = 0; k0 < words; k0 += few) {
      const int64_t end = std::min(words, k0 + few);
      for (int64_t i = 0; i < rows; i += 16) {
        const __mmask16 mask = Mask(rows - i);
        Word* panel = to + i / width * width * words + i % width;
        for (int64_t k = k0; k < end; k++) {
          const float* x = from.data + k * each * from.depth + i;
          if (k + few < words) {
            _mm_prefetch(x + few * each * from.depth, _MM_HINT_T0);
            if constexpr (bf16) _mm_prefetch(x + (few * each + 1) * from.depth, _MM_HINT_T0);
          }
          const __m512i word = WordsAlongFree<bf16>(
              x, bf16 && k * each + 1 < depth ? x + from.depth : nullptr, mask);
          if constexpr (width >= 16) {
            _mm512_storeu_si512(panel + k * width, word);
          } else {
            _mm256_storeu_si256((__m256i*)(panel + k * width), _mm512_castsi512_si256(word));
            if (i + width < rows)
              _mm256_storeu_si256((__m256i*)(panel + width * words + k * width),
                                  _mm512_extracti64x4_epi64(word, 1));
          }
        }
      }
      // The rest of a panel, without rows.
      if constexpr (width > 16) {
        for (int64_t i = (rows + 15) / 16 * 16; i % width != 0; i += 16)
          for (int64_t k = k0; k < end; k++)
            _mm512_storeu_si512(to + i / width * width * words + i % width + k * width,
                                _mm512_setzero_si512());
      }
    }
    return;
  }
  for (int64_t first = 0; first < rows; first += width, to += width * words) {
    const int64_t here = std::min(width, rows - first);
    const float* base = from.data + first * from.free;
    for (int64_t i = 0; i < width; i += 16) {
      for (int64_t k = 0; k < words; k += 16) {
        __m512i r[16];
        const int64_t count = std::min<int64_t>(16, std::min(width, here) - i);
        for (int64_t j = 0; j < 16; j++)
          r[j] = j < count
                     ? WordsAlongK<bf16>(base + (i + j) * from.free + k * each, depth - k * each)
                     : _mm512_setzero_si512();
        Transpose(r);
        const int64_t deep = std::min<int64_t>(16, words - k);
        for (int64_t j = 0; j < deep; j++) {
          if constexpr (width >= 16)
            _mm512_storeu_si512(to + (k + j) * width + i, r[j]);
          else
            _mm512_mask_storeu_epi32(to + (k + j) * width, Mask(width), r[j]);
        }
      }
    }
  }
}

template <bool bf16>
inline __m512 MultiplyAdd(__m512 sum, __m512i a, __m512i b) {
  if constexpr (!bf16) return _mm512_fmadd_ps(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), sum);
#if defined(__AVX512BF16__)
  else
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
#else
  else
    return sum;
#endif
}

/** 8 × 32 (or 8 × 16) sums over `words`, written to C or added to it. */
template <bool bf16, int vectors>
inline void Kernel(const Word* a, const Word* b, int64_t words, float* c, int64_t stride,
                   int64_t rows, int64_t columns, bool add) {
  __m512 sum[kRows][vectors];
  for (int i = 0; i < kRows; i++)
    for (int v = 0; v < vectors; v++) sum[i][v] = _mm512_setzero_ps();
  for (int64_t k = 0; k < words; k++) {
    __m512i y[vectors];
    for (int v = 0; v < vectors; v++) y[v] = _mm512_loadu_si512(b + k * kColumns + 16 * v);
#pragma GCC unroll 8
    for (int i = 0; i < kRows; i++) {
      const __m512i x = _mm512_set1_epi32(static_cast<int32_t>(a[k * kRows + i]));
      for (int v = 0; v < vectors; v++) sum[i][v] = MultiplyAdd<bf16>(sum[i][v], x, y[v]);
    }
  }
  for (int i = 0; i < kRows; i++) {
    if (i >= rows) break;
    for (int v = 0; v < vectors; v++) {
      const __mmask16 mask = Mask(columns - 16 * v);
      float* at = c + i * stride + 16 * v;
      const __m512 value =
          add ? _mm512_add_ps(sum[i][v], _mm512_maskz_loadu_ps(mask, at)) : sum[i][v];
      _mm512_mask_storeu_ps(at, mask, value);
    }
  }
}

}  // namespace gemm
