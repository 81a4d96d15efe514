"""
Lapidary's counter-based random numbers. Each element depends only on its index, so a process can draw the elements of its own shards.

The hashes are bit-identical to those of Lapidary's workers. Logarithm and cosine come from the C library here and from V8 there, in double
precision: after rounding to f32, about one number in 10⁸ differs in its last bit.
"""

from __future__ import annotations

import numpy as np

MASK = 0xFFFFFFFF


def hash32(a: int, b: np.ndarray) -> np.ndarray:
    """The finalizer of murmur3 over two words; `b` and the result are uint32."""
    multiplier = np.uint32
    h = np.uint32(((a ^ 0x9E3779B9) * 0x85EBCA6B) & MASK) ^ ((b + multiplier(0x7F4A7C15)) * multiplier(0xC2B2AE35))
    h ^= h >> np.uint32(16)
    h *= multiplier(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= multiplier(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    h = (h ^ multiplier(a & MASK)) * multiplier(0x27D4EB2F)
    return h ^ (h >> np.uint32(15))


def hash_one(a: int, b: int) -> int:
    return int(hash32(a, np.array([b & MASK], np.uint32))[0])


def normal(key: int, index: np.ndarray, scale: float) -> np.ndarray:
    """Standard normal numbers of a stream times `scale`, by Box-Muller, f32. `index`: int64 positions in the global array."""
    double = (index.astype(np.uint64) * np.uint64(2)).astype(np.uint32)
    u = (hash32(key, double).astype(np.float64) + 1) / 4294967297
    v = hash32(key ^ 0x5BD1E995, double + np.uint32(1)).astype(np.float64) / 4294967296
    return (np.sqrt(-2 * np.log(u)) * np.cos(2 * np.pi * v) * scale).astype(np.float32)


def permute(index: int, size: int, key: int) -> int:
    """The image of `index` in a permutation of [0, size): a Feistel network over an even number of bits, repeated until the result is in range."""
    if size == 1:
        return 0
    half = 2 ** -(-(size - 1).bit_length() // 2)
    at = index
    while True:
        left, right = divmod(at, half)
        for round_ in range(6):
            left, right = right, (left + hash_one(right, hash_one(key, round_)) % half) % half
        at = left * half + right
        if at < size:
            return at
