// Uniform numbers as a function of a key and of the index of each element (uniform.cc).
#pragma once

#include <cstdint>

namespace uniform {

struct Offsets {
  const int32_t* data;
  int64_t size;
};

/** The index of element (r, c) is rows[r] + columns[c], modulo 2³². */
void Fill(int32_t key, Offsets rows, Offsets columns, float* to);

}  // namespace uniform
