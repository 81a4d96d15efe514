// Vectors of floats of the processor's width, and functions of them. Compilers that know
// vector_size translate them to AVX-512, AVX2, SSE or NEON. A loop over such vectors is a vector
// loop even if the compiler cannot vectorize its conditions.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

/**
 * For short functions: a call would cost more than their work, and evict constants from registers.
 */
#define LAPIDARY_INLINE __attribute__((always_inline)) inline

namespace {

#if defined(__AVX512F__)
constexpr int64_t kVectorBytes = 64;
#elif defined(__AVX__)
constexpr int64_t kVectorBytes = 32;
#else
constexpr int64_t kVectorBytes = 16;
#endif

typedef float Vector __attribute__((vector_size(kVectorBytes)));
/** As many integers. A comparison of vectors returns them, with all bits set if it is true. */
typedef int32_t IntVector __attribute__((vector_size(kVectorBytes)));

constexpr int64_t kLanes = kVectorBytes / 4;

LAPIDARY_INLINE Vector Load(const float* x) {
  Vector v;
  std::memcpy(&v, x, sizeof v);
  return v;
}
LAPIDARY_INLINE void Store(float* x, Vector v) { std::memcpy(x, &v, sizeof v); }
/** The first n numbers, fewer than a vector has. The others are 0. */
LAPIDARY_INLINE Vector LoadFirst(const float* x, int64_t n) {
#if defined(__AVX512F__)
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>((1u << n) - 1), x);
#else
  float lanes[kLanes] = {};
  for (int64_t i = 0; i < n; i++) lanes[i] = x[i];
  return Load(lanes);
#endif
}
LAPIDARY_INLINE void StoreFirst(float* x, int64_t n, Vector v) {
#if defined(__AVX512F__)
  _mm512_mask_storeu_ps(x, static_cast<__mmask16>((1u << n) - 1), v);
#else
  for (int64_t i = 0; i < n; i++) x[i] = v[i];
#endif
}
/** One number in all lanes. */
LAPIDARY_INLINE Vector Broadcast(float x) { return x - Vector{}; }

/** x = n·ln2 + r with an integer n and |r| ≤ ln2/2. The last bits of `shifted` are n. */
struct Reduced {
  Vector shifted, r;
};
LAPIDARY_INLINE Reduced ReduceByLn2(Vector x) {
  // Adding 1.5·2²³ rounds to an integer, which is in the last bits of the sum.
  const Vector shifted = x * 1.44269504088896341f + 12582912.0f;
  const Vector n = shifted - 12582912.0f;
  const Vector r = x - n * 0.693359375f;
  return {shifted, r - n * -2.12194440e-4f};
}

/** e^r - 1 for |r| ≤ ln2/2 (Cephes). */
LAPIDARY_INLINE Vector ExpMinusOneOfReduced(Vector r) {
  Vector p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  return p * r * r + r;
}

/** exp(x) = 2^n · e^r. Below -87.3 it is 0, above 88.7 infinite. */
LAPIDARY_INLINE Vector Exp(Vector x) {
  const Reduced reduced = ReduceByLn2(x);
  const Vector p = ExpMinusOneOfReduced(reduced.r) + 1.0f;
  // Times 2^n: n is added to the exponent. Outside of the bounds, and for a NaN, it is not used.
  const Vector scaled = reinterpret_cast<Vector>(
      reinterpret_cast<IntVector>(p) + (reinterpret_cast<IntVector>(reduced.shifted) << 23));
  const Vector tail = x <= 88.72283f ? scaled : x + std::numeric_limits<float>::infinity();
  return x < -87.33654f ? Vector{} : tail;
}

/**
 * tanh(x) = t / (t + 2) with t = e^(2x) - 1 = 2^n·(e^r - 1) + (2^n - 1). Nothing cancels near 0,
 * and no bit is lost near ±1, where the derivative 1 - tanh² depends on every bit. From 9.1 on, t +
 * 2 rounds to t, so that the result is 1.
 */
LAPIDARY_INLINE Vector Tanh(Vector x) {
  const IntVector sign = reinterpret_cast<IntVector>(x) & INT32_MIN;
  const Vector size = reinterpret_cast<Vector>(reinterpret_cast<IntVector>(x) ^ sign);
  const Vector most = Broadcast(9.1f);
  // In this order a NaN stays a NaN.
  const Reduced reduced = ReduceByLn2(2.0f * (most < size ? most : size));
  const Vector power =
      reinterpret_cast<Vector>((reinterpret_cast<IntVector>(reduced.shifted) << 23) + 0x3f800000);
  const Vector t = power * ExpMinusOneOfReduced(reduced.r) + (power - 1.0f);
  return reinterpret_cast<Vector>(reinterpret_cast<IntVector>(t / (t + 2.0f)) | sign);
}

/** Reduces sixteen numbers to one, half by half. */
template <typename Work>
LAPIDARY_INLINE float Fold16(const Vector* sixteen, Work work) {
  typedef float Quarter __attribute__((vector_size(16)));
  Quarter q[4];
  std::memcpy(q, sixteen, sizeof q);
  const Quarter all = work(work(q[0], q[2]), work(q[1], q[3]));
  return work(work(all[0], all[2]), work(all[1], all[3]));
}

}  // namespace
