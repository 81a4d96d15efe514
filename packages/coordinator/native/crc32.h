#pragma once
#include <cstddef>
#include <cstdint>

/** CRC32 (as in zlib, polynomial 0xEDB88320 reflected) of `bytes`, continued from the checksum `seed` of the bytes before them. */
uint32_t Crc32(const void* bytes, size_t length, uint32_t seed);
