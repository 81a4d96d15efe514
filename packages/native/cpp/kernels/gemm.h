#pragma once
#include <node_api.h>

/** Tells which products this processor has kernels for; loading the module has registered the op `LapidaryMatMul`. */
void ExportProducts(napi_env env, napi_value exports);

namespace gemm {

/** An operand seen as [its free dim, k], wherever it lies: element (i, k) is data[i·free + k·depth], one of the strides being 1. */
struct Matrix {
  const float* data;
  int64_t free, depth;
};

}  // namespace gemm
