// CRC-32 as in zlib and in frames (polynomial 0xEDB88320, reflected). It detects every single
// flipped bit and every burst of up to 32 bits.
//
// If the processor has carry-less multiplication, bytes are folded 64, 32 or 16 at a time (Gopal
// and others, "Fast CRC computation for generic polynomials using PCLMULQDQ", Intel 2009). A block
// that is T bits before another one is replaced by a value of its length with the same remainder:
// the block times x^T mod P. The last 16 bytes, and all bytes on other processors, use tables, 8
// bytes at a time. A checksum is continued from that of the bytes before; it is 0 before the first
// byte.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#if defined(__PCLMUL__)
#include <immintrin.h>
#endif

namespace checksum {

constexpr uint32_t kPolynomial = 0xedb88320;

using Tables = std::array<std::array<uint32_t, 256>, 8>;

/** Table k advances the checksum over a byte that is followed by k others. */
constexpr Tables MakeTables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >> 1) ^ kPolynomial : crc >> 1;
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < 8; k++)
    for (size_t byte = 0; byte < 256; byte++)
      tables[k][byte] = (tables[k - 1][byte] >> 8) ^ tables[0][tables[k - 1][byte] & 0xff];
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

/** a · b mod P, reflected. */
constexpr uint32_t Multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = uint32_t{1} << 31; bit != 0; bit >>= 1) {
    if (a & bit) product ^= b;
    b = b & 1 ? (b >> 1) ^ kPolynomial : b >> 1;
  }
  return product;
}

/** x^n mod P, reflected. A checksum times this factor is advanced over n zero bits. */
constexpr uint32_t PowerOf(uint64_t n) {
  uint32_t power = uint32_t{1} << 31, square = uint32_t{1} << 30;
  for (; n > 0; n >>= 1) {
    if (n & 1) power = Multiply(power, square);
    square = Multiply(square, square);
  }
  return power;
}

#if defined(__PCLMUL__)

/** x^n mod P, in the form that a carry-less multiplication needs. */
constexpr int64_t Power(uint64_t n) { return static_cast<int64_t>(PowerOf(n)) << 1; }

/** Factors that move the first and the last 8 of 16 bytes over `bits` bits. */
inline __m128i Factors(uint64_t bits) { return _mm_set_epi64x(Power(bits - 32), Power(bits + 32)); }

inline __m128i Carry(__m128i x, __m128i factors, __m128i onto) {
  return _mm_xor_si128(onto, _mm_xor_si128(_mm_clmulepi64_si128(x, factors, 0x00),
                                           _mm_clmulepi64_si128(x, factors, 0x11)));
}

/** Moves 16 bytes over `bits` bits and adds `onto`. */
template <int bits>
inline __m128i Carry(__m128i x, __m128i onto) {
  constexpr int64_t low = Power(bits + 32), high = Power(bits - 32);
  return Carry(x, _mm_set_epi64x(high, low), onto);
}

inline __m128i Load(const uint8_t* data) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(data));
}

// A lane: the bytes that one instruction multiplies.
#if defined(__VPCLMULQDQ__) && defined(__AVX512F__)
using Lane = __m512i;
inline Lane LoadLane(const uint8_t* data) { return _mm512_loadu_si512(data); }
inline void Store(uint8_t* data, Lane x) { _mm512_storeu_si512(data, x); }
inline Lane Widen(__m128i x) { return _mm512_zextsi128_si512(x); }
inline Lane Repeat(__m128i x) { return _mm512_broadcast_i32x4(x); }
inline Lane Xor(Lane x, Lane y) { return _mm512_xor_si512(x, y); }
inline Lane Carry(Lane x, Lane factors, Lane onto) {
  return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(x, factors, 0x00),
                                   _mm512_clmulepi64_epi128(x, factors, 0x11), onto, 0x96);
}
inline __m128i Narrow(Lane a) {
  __m128i x = Carry<128>(_mm512_extracti32x4_epi32(a, 0), _mm512_extracti32x4_epi32(a, 1));
  x = Carry<128>(x, _mm512_extracti32x4_epi32(a, 2));
  return Carry<128>(x, _mm512_extracti32x4_epi32(a, 3));
}
#elif defined(__VPCLMULQDQ__) && defined(__AVX2__)
using Lane = __m256i;
inline Lane LoadLane(const uint8_t* data) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(data));
}
inline void Store(uint8_t* data, Lane x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(data), x);
}
inline Lane Widen(__m128i x) { return _mm256_zextsi128_si256(x); }
inline Lane Repeat(__m128i x) { return _mm256_broadcastsi128_si256(x); }
inline Lane Xor(Lane x, Lane y) { return _mm256_xor_si256(x, y); }
inline Lane Carry(Lane x, Lane factors, Lane onto) {
  return Xor(onto, Xor(_mm256_clmulepi64_epi128(x, factors, 0x00),
                       _mm256_clmulepi64_epi128(x, factors, 0x11)));
}
inline __m128i Narrow(Lane a) {
  return Carry<128>(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
}
#else
using Lane = __m128i;
inline Lane LoadLane(const uint8_t* data) { return Load(data); }
inline void Store(uint8_t* data, Lane x) { _mm_storeu_si128(reinterpret_cast<__m128i*>(data), x); }
inline Lane Widen(__m128i x) { return x; }
inline Lane Repeat(__m128i x) { return x; }
inline Lane Xor(Lane x, Lane y) { return _mm_xor_si128(x, y); }
inline __m128i Narrow(Lane a) { return a; }
#endif

template <int bits>
inline Lane CarryLane(Lane x, Lane onto) {
  constexpr int64_t low = Power(bits + 32), high = Power(bits - 32);
  return Carry(x, Repeat(_mm_set_epi64x(high, low)), onto);
}

/** A step processes a block: four independent lanes. */
constexpr size_t kLane = sizeof(Lane), kBlock = 4 * kLane;

/** The last 16 bytes of a value with the same remainder as the four lanes. */
inline __m128i Narrow(Lane a, Lane b, Lane c, Lane d) {
  constexpr int bits = 8 * kLane;
  return Narrow(CarryLane<bits>(CarryLane<bits>(CarryLane<bits>(a, b), c), d));
}

/** Folds at least one block. Fewer than 16 bytes of `data` remain. */
inline __m128i Fold(const uint8_t*& data, size_t& bytes, uint32_t crc) {
  constexpr int bits = 8 * kBlock;
  Lane a = Xor(LoadLane(data), Widen(_mm_cvtsi32_si128(static_cast<int>(crc)))),
       b = LoadLane(data + kLane);
  Lane c = LoadLane(data + 2 * kLane), d = LoadLane(data + 3 * kLane);
  for (data += kBlock, bytes -= kBlock; bytes >= kBlock; data += kBlock, bytes -= kBlock) {
    a = CarryLane<bits>(a, LoadLane(data)), b = CarryLane<bits>(b, LoadLane(data + kLane));
    c = CarryLane<bits>(c, LoadLane(data + 2 * kLane)),
    d = CarryLane<bits>(d, LoadLane(data + 3 * kLane));
  }
  __m128i x = Narrow(a, b, c, d);
  for (; bytes >= 16; data += 16, bytes -= 16) x = Carry<128>(x, Load(data));
  return x;
}

inline uint32_t OfLast(__m128i x) {
  alignas(16) uint8_t last[16];
  _mm_store_si128(reinterpret_cast<__m128i*>(last), x);
  return ByTables(last, sizeof last, 0);
}
#endif

/** CRC-32 of `bytes` bytes, continued from the checksum `crc` of the bytes before. */
inline uint32_t Crc32(const void* from, size_t bytes, uint32_t crc = 0) {
  const uint8_t* data = static_cast<const uint8_t*>(from);
  crc = ~crc;
#if defined(__PCLMUL__)
  if (bytes >= kBlock) crc = OfLast(Fold(data, bytes, crc));
#endif
  return ~ByTables(data, bytes, crc);
}

/** Segments whose checksum is computed while they are copied are multiples of this. */
constexpr size_t kSegmentBlock = 256;

/**
 * The share of some segments in the checksum of an array, computed while they are copied to it. The
 * checksum of the array is the xor of the shares of all its segments, inverted. Therefore each
 * worker computes its share independently. Segments are copied in ascending order. The bytes
 * between them count as zeros. All four lanes advance over a gap in one step, so its length has no
 * influence on the time.
 */
class Share {
 public:
  /** @param gaps bytes that may be between two segments */
  explicit Share(const std::vector<int64_t>& gaps) {
    for (int64_t gap : gaps) gaps_.push_back({Of(gap), gap});
  }

  /** @param begin of the first segment. The segment that begins the array begins the checksum. */
  void Begin(int64_t begin) {
    at_ = begin;
    isFirst_ = true;
    state_ = begin == 0 ? ~uint32_t{0} : 0;
  }

  /** @param at position in the array @param bytes a multiple of `kSegmentBlock` */
  void Copy(uint8_t* to, const uint8_t* from, int64_t at, int64_t bytes) {
    const int64_t gap = at - at_;
    at_ = at + bytes;
#if defined(__PCLMUL__)
    const auto next = [&] {
      const Block block{LoadLane(from), LoadLane(from + kLane), LoadLane(from + 2 * kLane),
                        LoadLane(from + 3 * kLane)};
      Store(to, block.a), Store(to + kLane, block.b), Store(to + 2 * kLane, block.c),
          Store(to + 3 * kLane, block.d);
      from += kBlock, to += kBlock, bytes -= kBlock;
      return block;
    };
    const auto onto = [](const Block& x, Lane over, const Block& block) {
      return Block{Carry(x.a, over, block.a), Carry(x.b, over, block.b), Carry(x.c, over, block.c),
                   Carry(x.d, over, block.d)};
    };
    Block x = last_;
    if (isFirst_) {
      x = next();
      x.a = Xor(x.a, Widen(_mm_cvtsi32_si128(static_cast<int>(state_))));
      isFirst_ = false;
    } else {
      const Lane over = Over(gap);
      x = onto(x, over, next());
    }
    constexpr int bits = 8 * kBlock;
    while (bytes > 0) {
      const Block block = next();
      x = {CarryLane<bits>(x.a, block.a), CarryLane<bits>(x.b, block.b),
           CarryLane<bits>(x.c, block.c), CarryLane<bits>(x.d, block.d)};
    }
    last_ = x;
#else
    std::memcpy(to, from, bytes);
    state_ = ByTables(from, bytes, isFirst_ ? state_ : Multiply(state_, Over(gap)));
    isFirst_ = false;
#endif
  }

  /** @param bytes of the array */
  uint32_t End(int64_t bytes) const {
#if defined(__PCLMUL__)
    const uint32_t state = OfLast(Narrow(last_.a, last_.b, last_.c, last_.d));
#else
    const uint32_t state = state_;
#endif
    return Multiply(state, PowerOf(8 * static_cast<uint64_t>(bytes - at_)));
  }

 private:
#if defined(__PCLMUL__)
  using Factor = Lane;
  static Factor Of(int64_t gap) {
    return Repeat(Factors(8 * (kBlock + static_cast<uint64_t>(gap))));
  }
  struct Block {
    Lane a, b, c, d;
  };
  Block last_{};
#else
  using Factor = uint32_t;
  static Factor Of(int64_t gap) { return PowerOf(8 * static_cast<uint64_t>(gap)); }
#endif
  struct Gap {
    Factor over;
    int64_t bytes;
  };
  std::vector<Gap> gaps_;
  int64_t at_ = 0;
  uint32_t state_ = 0;
  bool isFirst_ = true;

  Factor Over(int64_t gap) const {
    for (const Gap& known : gaps_)
      if (known.bytes == gap) return known.over;
    return Of(gap);
  }
};

}  // namespace checksum
