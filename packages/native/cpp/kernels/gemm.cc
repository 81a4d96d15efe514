// Matmul of f32, or of operands rounded to bf16 with sums in f32. Operands are rounded while they
// are packed, so that rounding costs no additional pass.
//
//     C [M, N] = A · B        in blocks that stay in the caches, as in BLIS
//
//     for n in blocks of N, for k in blocks of K:     pack B[k, n]  →  panels of kColumns columns
//         for m in blocks of M:                       pack A[m, k]  →  panels of kRows rows
//             for each panel of B, of A:              kRows × kColumns sums in registers
//
// The packed block of A stays in the second-level cache, a panel of B in the first.
//
// A header for each instruction set has the sizes, the packing and the sums. Either operand may be
// transposed. Sums are in the order of k, so results depend only on the shape and the instruction
// set.
#include "gemm.h"

#include "module.h"

#if defined(__AVX512F__) && defined(__AVX512BW__)
#define LAPIDARY_GEMM
#include "gemm_avx512.h"
#elif defined(__AVX2__) && defined(__FMA__)
#define LAPIDARY_GEMM
#include "gemm_avx2.h"
#endif

#if defined(LAPIDARY_GEMM)

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <mutex>

#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"

namespace gemm {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

/** Memory for packed blocks, one in a process. A kernel owns the lock while it runs. */
struct PackBuffers {
  std::mutex mutex;
  Word* a =
      static_cast<Word*>(std::aligned_alloc(4096, (kBlockM + kRows) * kBlockK * sizeof(Word)));
  Word* b =
      static_cast<Word*>(std::aligned_alloc(4096, (kBlockN + kColumns) * kBlockK * sizeof(Word)));
};
PackBuffers& SharedPackBuffers() {
  static PackBuffers* buffers = new PackBuffers();
  return *buffers;
}

/** The size of even parts of a dim: at most `max`, and a multiple of `unit`. */
inline int64_t PartOf(int64_t size, int64_t max, int64_t unit) {
  const int64_t parts = (size + max - 1) / max;
  return std::max<int64_t>(unit, ((size + parts - 1) / parts + unit - 1) / unit * unit);
}

template <bool bf16>
void Multiply(const Matrix& a, const Matrix& b, float* c, int64_t m, int64_t n, int64_t k) {
  constexpr int64_t each = kEach<bf16>;
  PackBuffers& packed = SharedPackBuffers();
  const int64_t partK = PartOf(k, kBlockK * each, each), partM = PartOf(m, kBlockM, kRows),
                partN = PartOf(n, kBlockN, kColumns);
  for (int64_t n0 = 0; n0 < n; n0 += partN) {
    const int64_t columns = std::min(partN, n - n0);
    for (int64_t k0 = 0; k0 < k; k0 += partK) {
      const int64_t depth = std::min(partK, k - k0), words = (depth + each - 1) / each;
      Pack<bf16, kColumns>({b.data + n0 * b.free + k0 * b.depth, b.free, b.depth}, columns, depth,
                           packed.b);
      for (int64_t m0 = 0; m0 < m; m0 += partM) {
        const int64_t rows = std::min(partM, m - m0);
        Pack<bf16, kRows>({a.data + m0 * a.free + k0 * a.depth, a.free, a.depth}, rows, depth,
                          packed.a);
        for (int64_t j = 0; j < columns; j += kColumns) {
          const int64_t wide = std::min(kColumns, columns - j);
          for (int64_t i = 0; i < rows; i += kRows) {
            float* to = c + (m0 + i) * n + n0 + j;
            const Word* left = packed.a + i * words;
            const Word* right = packed.b + j * words;
            if (wide > kLanes)
              Kernel<bf16, 2>(left, right, words, to, n, std::min(kRows, rows - i), wide, k0 > 0);
            else
              Kernel<bf16, 1>(left, right, words, to, n, std::min(kRows, rows - i), wide, k0 > 0);
          }
        }
      }
    }
  }
}

REGISTER_OP("LapidaryMatMul")
    .Input("a: float")
    .Input("b: float")
    .Output("c: float")
    .Attr("adj_x: bool")
    .Attr("adj_y: bool")
    .Attr("bf16: bool")
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* context) {
      context->set_output(0, context->UnknownShape());
      return absl::OkStatus();
    });

class LapidaryMatMul : public OpKernel {
 public:
  explicit LapidaryMatMul(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("adj_x", &adj_x_));
    OP_REQUIRES_OK(context, context->GetAttr("adj_y", &adj_y_));
    OP_REQUIRES_OK(context, context->GetAttr("bf16", &bf16_));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& a = context->input(0);
    const Tensor& b = context->input(1);
    const int rank = a.dims();
    OP_REQUIRES(context,
                (rank == 2 || rank == 3) && b.dims() == rank &&
                    (rank == 2 || a.dim_size(0) == b.dim_size(0)),
                absl::InvalidArgumentError("operands are matrices, or batches of the same size"));
    const int64_t batch = rank == 3 ? a.dim_size(0) : 1;
    const int64_t am = a.dim_size(rank - 2), an = a.dim_size(rank - 1), bm = b.dim_size(rank - 2),
                  bn = b.dim_size(rank - 1);
    const int64_t m = adj_x_ ? an : am, k = adj_x_ ? am : an, n = adj_y_ ? bm : bn;
    OP_REQUIRES(context, (adj_y_ ? bn : bm) == k && k > 0,
                absl::InvalidArgumentError("operands agree in the contracted dim"));
    Tensor* c = nullptr;
    OP_REQUIRES_OK(context,
                   context->allocate_output(
                       0, rank == 3 ? TensorShape({batch, m, n}) : TensorShape({m, n}), &c));
    const float* x = a.flat<float>().data();
    const float* y = b.flat<float>().data();
    float* out = c->flat<float>().data();
    std::lock_guard<std::mutex> lock(SharedPackBuffers().mutex);
    for (int64_t i = 0; i < batch; i++) {
      const Matrix left = adj_x_ ? Matrix{x + i * m * k, 1, m} : Matrix{x + i * m * k, k, 1};
      const Matrix right = adj_y_ ? Matrix{y + i * n * k, k, 1} : Matrix{y + i * n * k, 1, n};
      if (bf16_)
        Multiply<true>(left, right, out + i * m * n, m, n, k);
      else
        Multiply<false>(left, right, out + i * m * n, m, n, k);
    }
  }

 private:
  bool adj_x_ = false, adj_y_ = false, bf16_ = false;
};

REGISTER_KERNEL_BUILDER(Name("LapidaryMatMul").Device(tensorflow::DEVICE_CPU), LapidaryMatMul);

}  // namespace gemm

/** matmul: { f32: whether it is faster than TensorFlow, bf16: whether it rounds operands }. */
void ExportMatMul(napi_env env, napi_value exports) {
  napi_value support, f32, bf16;
  napi_create_object(env, &support);
  napi_get_boolean(env, gemm::kFasterThanTensorFlow, &f32);
  napi_get_boolean(env, gemm::kHasBf16, &bf16);
  napi_set_named_property(env, support, "f32", f32);
  napi_set_named_property(env, support, "bf16", bf16);
  napi_set_named_property(env, exports, "matmul", support);
}

#else

/** On other processors TensorFlow multiplies. */
void ExportMatMul(napi_env, napi_value) {}

#endif
