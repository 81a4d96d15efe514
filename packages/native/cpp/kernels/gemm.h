#pragma once

#include <cstdint>

namespace gemm {

/**
 * An operand seen as [its free dim, k]: element (i, k) is data[i·free + k·depth]. One of the
 * strides is 1.
 */
struct Matrix {
  const float* data;
  int64_t free, depth;
};

}  // namespace gemm
