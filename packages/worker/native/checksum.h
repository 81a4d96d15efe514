#pragma once
// CRC-32 as in zlib and in frames (polynomial 0xEDB88320, reflected): it differs for every single flipped bit and every burst of up to 32 bits.
//
// Where the processor multiplies without carries, bytes are folded 64, 32 or 16 at a time (Gopal and others, "Fast CRC computation for generic polynomials using
// PCLMULQDQ", Intel 2009): a block that stands T bits before another is replaced by a value of its length that leaves the same remainder, x^T mod P times it.
// The last 16 bytes, and everything elsewhere, go through tables of 8 bytes at a time. The sum is continued from that of the bytes before: 0 before the first.
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

#if defined(__PCLMUL__)
#include <immintrin.h>
#endif

namespace checksum {

constexpr uint32_t kPolynomial = 0xedb88320;

using Tables = std::array<std::array<uint32_t, 256>, 8>;

/** Table k advances the sum over a byte that is followed by k others. */
constexpr Tables MakeTables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ kPolynomial : crc >> 1;
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < 8; k++)
    for (size_t byte = 0; byte < 256; byte++) tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 0xff];
  return tables;
}

inline constexpr Tables kTables = MakeTables();

/** `crc` is inverted, here and in `Fold`. */
inline uint32_t ByTables(const uint8_t* data, size_t bytes, uint32_t crc) {
  for (; bytes >= 8; bytes -= 8, data += 8) {
    uint64_t word;
    std::memcpy(&word, data, 8);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    word = __builtin_bswap64(word);
#endif
    word ^= crc;
    crc = 0;
    for (size_t k = 0; k < 8; k++) crc ^= kTables[7 - k][(word >> (8 * k)) & 0xff];
  }
  for (; bytes > 0; bytes--, data++) crc = (crc >> 8) ^ kTables[0][(crc ^ *data) & 0xff];
  return crc;
}

#if defined(__PCLMUL__)

/** x^n mod P, reflected, as a carry-less product wants it. */
constexpr int64_t Power(int n) {
  uint32_t r = 0x80000000;
  for (; n > 0; n--) r = r & 1 ? (r >> 1) ^ kPolynomial : r >> 1;
  return static_cast<int64_t>(r) << 1;
}

/** Carries 16 bytes over `bits` bits: factors of their first and last 8. */
template <int bits>
inline __m128i Carry(__m128i x, __m128i onto) {
  const __m128i k = _mm_set_epi64x(Power(bits - 32), Power(bits + 32));
  return _mm_xor_si128(onto, _mm_xor_si128(_mm_clmulepi64_si128(x, k, 0x00), _mm_clmulepi64_si128(x, k, 0x11)));
}

inline __m128i Load(const uint8_t* data) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(data)); }

#if defined(__VPCLMULQDQ__) && defined(__AVX512F__)
constexpr size_t kBlock = 256;

template <int bits>
inline __m512i Carry(__m512i x, __m512i onto) {
  const __m512i k = _mm512_broadcast_i32x4(_mm_set_epi64x(Power(bits - 32), Power(bits + 32)));
  return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(x, k, 0x00), _mm512_clmulepi64_epi128(x, k, 0x11), onto, 0x96);
}

/** At least one block; what is left of `data` is fewer than 16 bytes. */
inline __m128i Fold(const uint8_t*& data, size_t& bytes, uint32_t crc) {
  auto load = [&](size_t i) { return _mm512_loadu_si512(data + 64 * i); };
  __m512i a = _mm512_xor_si512(load(0), _mm512_zextsi128_si512(_mm_cvtsi32_si128(static_cast<int>(crc)))), b = load(1), c = load(2), d = load(3);
  for (data += kBlock, bytes -= kBlock; bytes >= kBlock; data += kBlock, bytes -= kBlock)
    a = Carry<2048>(a, load(0)), b = Carry<2048>(b, load(1)), c = Carry<2048>(c, load(2)), d = Carry<2048>(d, load(3));
  a = Carry<512>(Carry<512>(Carry<512>(a, b), c), d);
  for (; bytes >= 64; data += 64, bytes -= 64) a = Carry<512>(a, load(0));
  __m128i x = _mm512_extracti32x4_epi32(a, 0);
  x = Carry<128>(x, _mm512_extracti32x4_epi32(a, 1));
  x = Carry<128>(x, _mm512_extracti32x4_epi32(a, 2));
  x = Carry<128>(x, _mm512_extracti32x4_epi32(a, 3));
  for (; bytes >= 16; data += 16, bytes -= 16) x = Carry<128>(x, Load(data));
  return x;
}
#elif defined(__VPCLMULQDQ__) && defined(__AVX2__)
constexpr size_t kBlock = 128;

template <int bits>
inline __m256i Carry(__m256i x, __m256i onto) {
  const __m256i k = _mm256_broadcastsi128_si256(_mm_set_epi64x(Power(bits - 32), Power(bits + 32)));
  return _mm256_xor_si256(onto, _mm256_xor_si256(_mm256_clmulepi64_epi128(x, k, 0x00), _mm256_clmulepi64_epi128(x, k, 0x11)));
}

/** At least one block; what is left of `data` is fewer than 16 bytes. */
inline __m128i Fold(const uint8_t*& data, size_t& bytes, uint32_t crc) {
  auto load = [&](size_t i) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data + 32 * i)); };
  __m256i a = _mm256_xor_si256(load(0), _mm256_zextsi128_si256(_mm_cvtsi32_si128(static_cast<int>(crc)))), b = load(1), c = load(2), d = load(3);
  for (data += kBlock, bytes -= kBlock; bytes >= kBlock; data += kBlock, bytes -= kBlock)
    a = Carry<1024>(a, load(0)), b = Carry<1024>(b, load(1)), c = Carry<1024>(c, load(2)), d = Carry<1024>(d, load(3));
  a = Carry<256>(Carry<256>(Carry<256>(a, b), c), d);
  __m128i x = Carry<128>(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  for (; bytes >= 16; data += 16, bytes -= 16) x = Carry<128>(x, Load(data));
  return x;
}
#else
constexpr size_t kBlock = 64;

/** At least one block; what is left of `data` is fewer than 16 bytes. */
inline __m128i Fold(const uint8_t*& data, size_t& bytes, uint32_t crc) {
  __m128i a = _mm_xor_si128(Load(data), _mm_cvtsi32_si128(static_cast<int>(crc))), b = Load(data + 16), c = Load(data + 32), d = Load(data + 48);
  for (data += kBlock, bytes -= kBlock; bytes >= kBlock; data += kBlock, bytes -= kBlock)
    a = Carry<512>(a, Load(data)), b = Carry<512>(b, Load(data + 16)), c = Carry<512>(c, Load(data + 32)), d = Carry<512>(d, Load(data + 48));
  __m128i x = Carry<128>(Carry<128>(Carry<128>(a, b), c), d);
  for (; bytes >= 16; data += 16, bytes -= 16) x = Carry<128>(x, Load(data));
  return x;
}
#endif
#endif

/** CRC-32 of `bytes` bytes, continued from the sum `crc` of those before. */
inline uint32_t Crc32(const void* from, size_t bytes, uint32_t crc = 0) {
  const uint8_t* data = static_cast<const uint8_t*>(from);
  crc = ~crc;
#if defined(__PCLMUL__)
  if (bytes >= kBlock) {
    alignas(16) uint8_t last[16];
    _mm_store_si128(reinterpret_cast<__m128i*>(last), Fold(data, bytes, crc));
    crc = ByTables(last, sizeof last, 0);
  }
#endif
  return ~ByTables(data, bytes, crc);
}

}  // namespace checksum
