// dot_general with few rows (dot.cc).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

namespace dot {

/** A batch dim: its size, and its strides in both operands. */
struct BatchDim {
  int64_t size, a, b;
};

/** Sizes and strides in elements. The encoding is that of the executor's kernels/few-rows.ts. */
struct Dot {
  int64_t m = 0, n = 0, k = 0;
  int64_t row = 0, column = 0, depth = 0;
  /** Whether positions along k whose numbers in A are all 0 are not read in B, and so are none. */
  bool skips_zeros = false;
  std::vector<BatchDim> batch;
  std::vector<int64_t> dims;  // of the result

  int64_t Batches() const {
    int64_t count = 1;
    for (const BatchDim& dim : batch) count *= dim.size;
    return count;
  }
  /** Elements from the first to the last one that the kernel reads. */
  int64_t ExtentOfA() const {
    int64_t last = (m - 1) * row + k - 1;
    for (const BatchDim& dim : batch) last += (dim.size - 1) * dim.a;
    return last + 1;
  }
  int64_t ExtentOfB() const {
    int64_t last = (n - 1) * column + (k - 1) * depth;
    for (const BatchDim& dim : batch) last += (dim.size - 1) * dim.b;
    return last + 1;
  }
};

/** A dot by its number; null if it does not exist, or if the processor has no kernel for it. */
std::shared_ptr<const Dot> FindDot(int64_t id);

/** C = A · B. */
void Multiply(const Dot& dot, const float* a, const float* b, float* c);

}  // namespace dot
