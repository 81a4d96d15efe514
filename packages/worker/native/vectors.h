// Vectors of floats as wide as the processor has them, and what is computed with them, written once: compilers that know vector_size make of it AVX-512, AVX2,
// SSE or NEON. A loop over such vectors is one by construction, where a loop over floats is one only if the compiler sees through its conditions.
#pragma once

#include <cstdint>
#include <cstring>
#include <limits>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

/** A call would cost more than what it computes, and keep its loop from holding constants in registers. */
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
/** As many whole numbers; what a comparison of vectors gives, where all bits are set if it holds. */
typedef int32_t Whole __attribute__((vector_size(kVectorBytes)));

constexpr int64_t kLanes = kVectorBytes / 4;

LAPIDARY_INLINE Vector Load(const float* x) {
  Vector v;
  std::memcpy(&v, x, sizeof v);
  return v;
}
LAPIDARY_INLINE void Store(float* x, Vector v) { std::memcpy(x, &v, sizeof v); }
/** The first numbers alone, fewer than a vector holds; the rest is 0. */
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
LAPIDARY_INLINE Vector All(float x) { return x - Vector{}; }

/** exp, by 2^n · p(r) with |r| ≤ ln2/2 (Cephes). Below -87.3 it is 0, above 88.7 infinite. */
LAPIDARY_INLINE Vector Exp(Vector x) {
  // Adding 1.5·2²³ rounds to a whole number, which the last bits of the sum then are.
  const Vector sum = x * 1.44269504088896341f + 12582912.0f;
  const Vector n = sum - 12582912.0f;
  Vector r = x - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  Vector p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.0f;
  // Times 2^n: n more in the exponent. Between the bounds that is a float again; outside of them, and of a NaN, it is of no account.
  const Vector scaled = reinterpret_cast<Vector>(reinterpret_cast<Whole>(p) + (reinterpret_cast<Whole>(sum) << 23));
  const Vector tail = x <= 88.72283f ? scaled : x + std::numeric_limits<float>::infinity();
  return x < -87.33654f ? Vector{} : tail;
}

/** tanh, by a rational approximation on [-7.9, 7.9], outside of which it is ±1 in f32. */
LAPIDARY_INLINE Vector Tanh(Vector x) {
  const Vector most = All(7.90531110763549805f);
  // In this order a NaN stays one.
  Vector c = -most > x ? -most : x;
  c = most < c ? most : c;
  const Vector s = c * c;
  Vector p = s * -2.76076847742355e-16f + 2.00018790482477e-13f;
  p = p * s + -8.60467152213735e-11f;
  p = p * s + 5.12229709037114e-08f;
  p = p * s + 1.48572235717979e-05f;
  p = p * s + 6.37261928875436e-04f;
  p = p * s + 4.89352455891786e-03f;
  Vector q = s * 1.19825839466702e-06f + 1.18534705686654e-04f;
  q = q * s + 2.26843463243900e-03f;
  q = q * s + 4.89352518554385e-03f;
  return c * p / q;
}

/** Sixteen numbers become one, half by half. */
template <typename Work>
LAPIDARY_INLINE float Fold16(const Vector* sixteen, Work work) {
  typedef float Quarter __attribute__((vector_size(16)));
  Quarter q[4];
  std::memcpy(q, sixteen, sizeof q);
  const Quarter all = work(work(q[0], q[2]), work(q[1], q[3]));
  return work(work(all[0], all[2]), work(all[1], all[3]));
}

}  // namespace
