// dot_general with few rows on the left, as in decode, where each sequence has one new token. The
// time of such a matmul is that of reading the right operand once. So nothing is packed or
// transposed: both operands are read where they are, with any strides, and batch dims may repeat.
//
//     C [batch, m, n] = A · B      A: element (i, k) is at i·row + k         (k is contiguous)
//                                  B: element (j, k) is at j·column + k·depth, one of the two is 1
//
// k contiguous in B (weights, keys): sums along k in the lanes of a vector, 16 results at a time
// n contiguous in B (values):        sums of rows of B
//
// The order of a sum depends only on the layout of B and on k, so a row has the same bits in a
// matmul of any number of rows.
#include "dot.h"

#include "module.h"

#if defined(__AVX512F__)

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include "dot_panels.h"
#include "registry.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "vectors.h"

namespace dot {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;

registry::Registry<Dot> dots;

/**
 * rows × columns = 16 results, each a sum along contiguous k. Result (i, j) is lane i·columns + j.
 * Prefetches `ahead` elements after each vector of B unless `ahead` is 0.
 */
template <int rows, int columns>
LAPIDARY_INLINE Vector DotBlock(const float* const (&a)[rows], const float* const (&b)[columns],
                                int64_t k, int64_t ahead) {
  static_assert(rows * columns == 16);
  Vector sum[16] = {};
  const auto add = [&](const Vector(&x)[rows], int64_t j, Vector y) {
    for (int i = 0; i < rows; i++) sum[i * columns + j] += x[i] * y;
  };
  int64_t at = 0;
  for (; at + kLanes <= k; at += kLanes) {
    Vector x[rows];
    for (int i = 0; i < rows; i++) x[i] = Load(a[i] + at);
    for (int j = 0; j < columns; j++) {
      if (ahead != 0) _mm_prefetch(b[j] + at + ahead, _MM_HINT_T0);
      add(x, j, Load(b[j] + at));
    }
  }
  if (at < k) {
    Vector x[rows];
    for (int i = 0; i < rows; i++) x[i] = LoadFirst(a[i] + at, k - at);
    for (int j = 0; j < columns; j++) add(x, j, LoadFirst(b[j] + at, k - at));
  }
  return SumsOfLanes(sum);
}

/** Results of `rows` rows and all columns, with k contiguous in B. */
template <int rows, int columns>
void DotRows(const Dot& dot, const float* a, const float* b, float* c, int64_t first_column,
             int64_t end_column, bool prefetches) {
  const float* x[rows];
  for (int i = 0; i < rows; i++) x[i] = a + i * dot.row;
  for (int64_t j0 = first_column; j0 < end_column; j0 += columns) {
    const int64_t wide = std::min<int64_t>(columns, end_column - j0);
    const float* y[columns];
    // Columns after the last repeat it. Their results are not stored.
    for (int j = 0; j < columns; j++) y[j] = b + (j0 + std::min<int64_t>(j, wide - 1)) * dot.column;
    const bool has_next = prefetches && j0 + 2 * columns <= dot.n;
    const Vector sums = DotBlock<rows, columns>(x, y, dot.k, has_next ? columns * dot.column : 0);
    if (rows == 1) {
      if (wide == kLanes)
        Store(c + j0, sums);
      else
        StoreFirst(c + j0, wide, sums);
      continue;
    }
    float results[16];
    Store(results, sums);
    for (int i = 0; i < rows; i++)
      for (int64_t j = 0; j < wide; j++) c[i * dot.n + j0 + j] = results[i * columns + j];
  }
}

/** Columns [j, end) of one matmul with k contiguous in B. Reads B once for all rows. */
void MultiplyAlongDepth(const Dot& dot, const float* a, const float* b, float* c, int64_t j,
                        int64_t end) {
  int64_t i = 0;
  for (; i + 4 <= dot.m; i += 4)
    DotRows<4, 4>(dot, a + i * dot.row, b, c + i * dot.n, j, end, i == 0);
  for (; i < dot.m; i++) DotRows<1, 16>(dot, a + i * dot.row, b, c + i * dot.n, j, end, i == 0);
}

/**
 * Rows of B between a prefetch and its use. Hardware prefetching stops at the end of a page, which has
 * few of them.
 */
constexpr int64_t kRowsAhead = 8;

/** Positions along k. */
struct Span {
  int64_t begin, end;
};

/** Whether up to sixteen numbers of each of `rows` rows are 0. */
bool IsZero(const float* a, int64_t rows, int64_t stride, int64_t count) {
  for (int64_t i = 0; i < rows; i++) {
    const Vector x = LoadFirst(a + i * stride, count);
    // A NaN is not 0.
    if (_mm512_cmp_ps_mask((__m512)x, _mm512_setzero_ps(), _CMP_NEQ_UQ) != 0) return false;
  }
  return true;
}

/** The span of k outside of which `rows` rows of A are 0, in whole vectors. */
Span SpanOf(const Dot& dot, const float* a, int64_t rows, int64_t stride) {
  Span span = {0, dot.k};
  if (!dot.skips_zeros) return span;
  const auto is_zero = [&](int64_t at) {
    return IsZero(a + at, rows, stride, std::min(kLanes, dot.k - at));
  };
  while (span.begin < span.end && is_zero(span.begin)) span.begin += kLanes;
  if (span.begin >= span.end) return {0, 0};
  for (int64_t last = (dot.k - 1) / kLanes * kLanes; is_zero(last); last -= kLanes) span.end = last;
  return span;
}

/** Numbers of a row of C: `vectors` whole vectors. */
template <int vectors>
void SumOfRows(const float* a, const float* b, float* c, int64_t k, int64_t depth) {
  Vector sum[vectors] = {};
  for (int64_t at = 0; at < k; at++, b += depth)
    for (int v = 0; v < vectors; v++) {
      _mm_prefetch(b + kRowsAhead * depth + v * kLanes, _MM_HINT_T0);
      sum[v] += a[at] * Load(b + v * kLanes);
    }
  for (int v = 0; v < vectors; v++) Store(c + v * kLanes, sum[v]);
}

/** The last numbers of a row of C, fewer than a vector has. */
void LastOfRow(const float* a, const float* b, float* c, int64_t k, int64_t depth, int64_t count) {
  Vector sum = {};
  for (int64_t at = 0; at < k; at++, b += depth) sum += a[at] * LoadFirst(b, count);
  StoreFirst(c, count, sum);
}

/** One matmul with n contiguous in B. */
void MultiplyAlongColumns(const Dot& dot, const float* a, const float* b, float* c) {
  for (int64_t i = 0; i < dot.m; i++) {
    const Span span = SpanOf(dot, a + i * dot.row, 1, 0);
    const float* x = a + i * dot.row + span.begin;
    const float* y = b + span.begin * dot.depth;
    const int64_t k = span.end - span.begin;
    float* to = c + i * dot.n;
    int64_t j = 0;
    for (; j + 8 * kLanes <= dot.n; j += 8 * kLanes) SumOfRows<8>(x, y + j, to + j, k, dot.depth);
    for (; j + 2 * kLanes <= dot.n; j += 2 * kLanes) SumOfRows<2>(x, y + j, to + j, k, dot.depth);
    for (; j + kLanes <= dot.n; j += kLanes) SumOfRows<1>(x, y + j, to + j, k, dot.depth);
    if (j < dot.n) LastOfRow(x, y + j, to + j, k, dot.depth, dot.n - j);
  }
}

/**
 * Several matmuls of one row at once, with n contiguous in B: the heads of attention, whose values
 * are neighbours in memory. A row of C has `vectors` vectors, or fewer numbers than one.
 */
template <int count, int vectors>
void SumOfRowsOfBatches(const Dot& dot, const BatchDim& dim, const float* a, const float* b,
                        float* c) {
  const Span span = SpanOf(dot, a, count, dim.a);
  const bool is_whole = dot.n == vectors * kLanes;
  b += span.begin * dot.depth;
  Vector sum[count * vectors] = {};
  for (int64_t at = span.begin; at < span.end; at++, b += dot.depth)
    for (int g = 0; g < count; g++)
      for (int v = 0; v < vectors; v++) {
        const float* y = b + g * dim.b + v * kLanes;
        _mm_prefetch(y + kRowsAhead * dot.depth, _MM_HINT_T0);
        sum[g * vectors + v] += a[g * dim.a + at] * (is_whole ? Load(y) : LoadFirst(y, dot.n));
      }
  for (int g = 0; g < count; g++)
    for (int v = 0; v < vectors; v++)
      if (is_whole)
        Store(c + g * dot.n + v * kLanes, sum[g * vectors + v]);
      else
        StoreFirst(c + g * dot.n, dot.n, sum[g * vectors + v]);
}

/** All matmuls of the last batch dim, with k contiguous in B. */
void ComputeAlongDepth(const Dot& dot, const BatchDim& dim, const float* a, const float* b,
                       float* c) {
  constexpr int64_t kBlock = 16;
  if (dot.m >= kPanelRows) {
    const int64_t rows = dot.m / kPanelRows * kPanelRows;
    Dot rest = dot;
    rest.m = dot.m - rows;
    for (int64_t g = 0; g < dim.size; g++) {
      const float* x = a + g * dim.a;
      const float* y = b + g * dim.b;
      float* to = c + g * dot.m * dot.n;
      MultiplyPanels(dot, rows, x, y, to);
      for (int64_t j = 0; rest.m > 0 && j < dot.n; j += kBlock)
        MultiplyAlongDepth(rest, x + rows * dot.row, y, to + rows * dot.n, j,
                           std::min(dot.n, j + kBlock));
    }
    return;
  }
  // B is read in the order of its memory: heads are neighbours in keys [batch, position, head, k].
  const int64_t block = dim.size > 1 && dim.b >= dot.column ? dot.n : kBlock;
  for (int64_t first = 0; first < dot.n; first += block)
    for (int64_t g = 0; g < dim.size; g++)
      for (int64_t j = first; j < std::min(dot.n, first + block); j += kBlock)
        MultiplyAlongDepth(dot, a + g * dim.a, b + g * dim.b, c + g * dot.m * dot.n, j,
                           std::min(dot.n, j + kBlock));
}

/** All matmuls of the last batch dim, with n contiguous in B. */
void ComputeAlongColumns(const Dot& dot, const BatchDim& dim, const float* a, const float* b,
                         float* c) {
  const bool is_vector = dot.m == 1 && dot.n <= kLanes;
  const bool is_pair = dot.m == 1 && dot.n == 2 * kLanes;
  const bool is_quad = dot.m == 1 && dot.n == 4 * kLanes;
  for (int64_t g = 0; g < dim.size;) {
    const float* x = a + g * dim.a;
    const float* y = b + g * dim.b;
    float* to = c + g * dot.m * dot.n;
    const int64_t left = dim.size - g;
    if (is_vector && left >= 16) {
      SumOfRowsOfBatches<16, 1>(dot, dim, x, y, to);
      g += 16;
    } else if (is_vector && left >= 4) {
      SumOfRowsOfBatches<4, 1>(dot, dim, x, y, to);
      g += 4;
    } else if (is_pair && left >= 8) {
      SumOfRowsOfBatches<8, 2>(dot, dim, x, y, to);
      g += 8;
    } else if (is_quad && left >= 4) {
      SumOfRowsOfBatches<4, 4>(dot, dim, x, y, to);
      g += 4;
    } else {
      MultiplyAlongColumns(dot, x, y, to);
      g++;
    }
  }
}

}  // namespace

std::shared_ptr<const Dot> FindDot(int64_t id) { return dots.Find(id); }

void Multiply(const Dot& dot, const float* a, const float* b, float* c) {
  const size_t rank = dot.batch.size();
  const BatchDim one = {1, 0, 0};
  const BatchDim& last = rank == 0 ? one : dot.batch.back();
  const int64_t outer = dot.Batches() / last.size;
  std::vector<int64_t> index(rank, 0);
  for (int64_t i = 0; i < outer; i++, c += last.size * dot.m * dot.n) {
    const float* x = a;
    const float* y = b;
    for (size_t d = 0; d + 1 < rank; d++) {
      x += index[d] * dot.batch[d].a;
      y += index[d] * dot.batch[d].b;
    }
    if (dot.depth == 1)
      ComputeAlongDepth(dot, last, x, y, c);
    else
      ComputeAlongColumns(dot, last, x, y, c);
    for (size_t d = rank - 1; rank > 0 && d-- > 0;) {
      if (++index[d] < dot.batch[d].size) break;
      index[d] = 0;
    }
  }
}

namespace {

REGISTER_OP("LapidaryDot")
    .Input("a: float")
    .Input("b: float")
    .Output("c: float")
    .Attr("dot: int")
    .SetShapeFn([](tensorflow::shape_inference::InferenceContext* context) {
      context->set_output(0, context->UnknownShape());
      return absl::OkStatus();
    });

class LapidaryDot : public OpKernel {
 public:
  explicit LapidaryDot(OpKernelConstruction* context) : OpKernel(context) {
    int64_t id;
    OP_REQUIRES_OK(context, context->GetAttr("dot", &id));
    dot_ = FindDot(id);
    OP_REQUIRES(context, dot_ != nullptr, absl::InvalidArgumentError("no such dot"));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& a = context->input(0);
    const Tensor& b = context->input(1);
    OP_REQUIRES(context,
                a.NumElements() == dot_->ExtentOfA() && b.NumElements() == dot_->ExtentOfB(),
                absl::InvalidArgumentError("operands have the sizes of the plan"));
    Tensor* c = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, TensorShape(dot_->dims), &c));
    Multiply(*dot_, a.flat<float>().data(), b.flat<float>().data(), c->flat<float>().data());
  }

 private:
  std::shared_ptr<const Dot> dot_;
};

REGISTER_KERNEL_BUILDER(Name("LapidaryDot").Device(tensorflow::DEVICE_CPU), LapidaryDot);

/**
 * m, n, k, row, column, depth, whether zeros are skipped, number of batch dims, (size, a, b) of each,
 * dims of the result.
 */
std::shared_ptr<const Dot> Decode(const int32_t* code, size_t length) {
  constexpr size_t kHead = 8;
  if (length < kHead) return nullptr;
  auto dot = std::make_shared<Dot>();
  dot->m = code[0], dot->n = code[1], dot->k = code[2];
  dot->row = code[3], dot->column = code[4], dot->depth = code[5];
  if (code[6] != 0 && code[6] != 1) return nullptr;
  dot->skips_zeros = code[6] == 1;
  const size_t rank = code[7] < 0 ? length : static_cast<size_t>(code[7]);
  if (rank > length || kHead + 3 * rank > length) return nullptr;
  if (dot->m < 1 || dot->n < 1 || dot->k < 1 || dot->row < 0) return nullptr;
  if (dot->column < 0 || dot->depth < 0 || (dot->column != 1 && dot->depth != 1)) return nullptr;
  for (size_t d = 0; d < rank; d++) {
    const int32_t* dim = code + kHead + 3 * d;
    if (dim[0] < 1 || dim[1] < 0 || dim[2] < 0) return nullptr;
    dot->batch.push_back({dim[0], dim[1], dim[2]});
  }
  int64_t size = 1;
  for (size_t i = kHead + 3 * rank; i < length; i++) {
    if (code[i] < 1) return nullptr;
    dot->dims.push_back(code[i]);
    size *= code[i];
  }
  return size == dot->Batches() * dot->m * dot->n ? dot : nullptr;
}

/** registerDot(code: Int32Array) → number of the dot. */
napi_value RegisterDot(napi_env env, napi_callback_info info) {
  registry::Code code;
  if (!registry::ReadCode(env, info, "registerDot expects an Int32Array", &code)) return nullptr;
  return dots.Add(env, Decode(code.data, code.length), "the code of the dot is malformed");
}

}  // namespace
}  // namespace dot

void ExportDot(napi_env env, napi_value exports) {
  napi_value function;
  napi_create_function(env, "registerDot", NAPI_AUTO_LENGTH, dot::RegisterDot, nullptr, &function);
  napi_set_named_property(env, exports, "registerDot", function);
}

#else

namespace dot {

std::shared_ptr<const Dot> FindDot(int64_t) { return nullptr; }
void Multiply(const Dot&, const float*, const float*, float*) {}

}  // namespace dot

/** On other processors LapidaryMatMul or TensorFlow multiplies. */
void ExportDot(napi_env, napi_value) {}

#endif
