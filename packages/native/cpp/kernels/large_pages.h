// Large pages for arrays that many runs of a program read (large_pages.cc).
#pragma once

#include <cstdint>

namespace large_pages {

/** A smaller array has too few pages to gain. */
constexpr int64_t kLeastBytes = 64 << 10;

/**
 * Moves the memory of an array to large pages, if the system has any. Does nothing if it has done so
 * before, because workers keep the memory of their heap.
 */
void Use(const void* data, int64_t bytes);

}  // namespace large_pages
