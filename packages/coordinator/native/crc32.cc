// CRC32 at the speed of memory: 256 bytes at a time are folded by carry-less multiplication ("Fast CRC Computation for Generic Polynomials Using PCLMULQDQ
// Instruction", Intel 2009), down to 16 bytes that have the same remainder, which a table finishes. zlib's own folds 64 bytes at a time.
#include "crc32.h"

#include <array>
#include <cstring>

#if defined(__VPCLMULQDQ__) && defined(__AVX512F__) && defined(__PCLMUL__)
#include <immintrin.h>
#define LAPIDARY_FOLDS 1
#endif

namespace {

constexpr uint32_t kPolynomial = 0xEDB88320;

constexpr std::array<std::array<uint32_t, 256>, 8> MakeTables() {
  std::array<std::array<uint32_t, 256>, 8> tables{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc & 1) != 0 ? (crc >> 1) ^ kPolynomial : crc >> 1;
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < 8; k++)
    for (size_t byte = 0; byte < 256; byte++) tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 255];
  return tables;
}

constexpr auto kTables = MakeTables();

/** Without the inversions before and behind. */
uint32_t ByTable(const uint8_t* bytes, size_t length, uint32_t crc) {
  for (; length >= 8; bytes += 8, length -= 8) {
    uint32_t low, high;
    std::memcpy(&low, bytes, 4);
    std::memcpy(&high, bytes + 4, 4);
    low ^= crc;
    crc = kTables[7][low & 255] ^ kTables[6][(low >> 8) & 255] ^ kTables[5][(low >> 16) & 255] ^ kTables[4][low >> 24] ^ kTables[3][high & 255] ^
          kTables[2][(high >> 8) & 255] ^ kTables[1][(high >> 16) & 255] ^ kTables[0][high >> 24];
  }
  for (; length > 0; bytes++, length--) crc = (crc >> 8) ^ kTables[0][(crc ^ *bytes) & 255];
  return crc;
}

#if defined(LAPIDARY_FOLDS)

/** x^n modulo the polynomial, reflected, and shifted as the product of reflected numbers wants it. */
constexpr uint64_t Power(int n) {
  uint32_t power = 0x80000000;
  for (int i = 0; i < n; i++) power = (power & 1) != 0 ? (power >> 1) ^ kPolynomial : power >> 1;
  return static_cast<uint64_t>(power) << 1;
}

/** What carries 128 bits over `distance` bits: for their low half, and for their high half. */
struct Carry {
  uint64_t low, high;
};
constexpr Carry Over(int distance) { return {Power(distance + 32), Power(distance - 32)}; }
constexpr Carry kOver2048 = Over(2048), kOver512 = Over(512), kOver128 = Over(128);

inline __m512i Fold(__m512i sum, __m512i next, __m512i by) {
  return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(sum, by, 0x00), _mm512_clmulepi64_epi128(sum, by, 0x11), next, 0x96);
}

uint32_t Folded(const uint8_t* bytes, size_t length, uint32_t crc) {
  const auto load = [&](size_t at) { return _mm512_loadu_si512(bytes + at); };
  const auto wide = [](Carry carry) { return _mm512_set4_epi64(carry.high, carry.low, carry.high, carry.low); };
  __m512i a = _mm512_xor_si512(load(0), _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(crc))));
  __m512i b = load(64), c = load(128), d = load(192);
  const __m512i by2048 = wide(kOver2048), by512 = wide(kOver512);
  size_t at = 256;
  for (; at + 256 <= length; at += 256) {
    a = Fold(a, load(at), by2048);
    b = Fold(b, load(at + 64), by2048);
    c = Fold(c, load(at + 128), by2048);
    d = Fold(d, load(at + 192), by2048);
  }
  a = Fold(Fold(Fold(a, b, by512), c, by512), d, by512);
  const __m128i by128 = _mm_set_epi64x(static_cast<int64_t>(kOver128.high), static_cast<int64_t>(kOver128.low));
  __m128i sum = _mm512_extracti32x4_epi32(a, 0);
  const auto fold = [&](__m128i next) {
    sum = _mm_xor_si128(_mm_xor_si128(_mm_clmulepi64_si128(sum, by128, 0x00), _mm_clmulepi64_si128(sum, by128, 0x11)), next);
  };
  fold(_mm512_extracti32x4_epi32(a, 1));
  fold(_mm512_extracti32x4_epi32(a, 2));
  fold(_mm512_extracti32x4_epi32(a, 3));
  alignas(16) uint8_t rest[16];
  _mm_store_si128(reinterpret_cast<__m128i*>(rest), sum);
  return ByTable(bytes + at, length - at, ByTable(rest, 16, 0));
}

#endif

}  // namespace

uint32_t Crc32(const void* data, size_t length, uint32_t seed) {
  const uint8_t* bytes = static_cast<const uint8_t*>(data);
#if defined(LAPIDARY_FOLDS)
  if (length >= 256) return ~Folded(bytes, length, ~seed);
#endif
  return ~ByTable(bytes, length, ~seed);
}
