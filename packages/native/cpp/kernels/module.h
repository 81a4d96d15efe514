// The exports of the parts of the kernels library to Node.
#pragma once

#include <node_api.h>

/** Fused programs (fused_program.cc). */
void ExportFused(napi_env env, napi_value exports);

/** Messages through shared memory (exchange_module.cc), if the system supports them. */
void ExportExchange(napi_env env, napi_value exports);

/** Staging buffers (staging.cc), if the system supports them. */
void ExportStaging(napi_env env, napi_value exports);

/** The advantages of `LapidaryMatMul` on this processor (gemm.cc). */
void ExportMatMul(napi_env env, napi_value exports);

/** Matmuls with few rows (dot.cc), if the processor has the instructions. */
void ExportDot(napi_env env, napi_value exports);

/** Sequences of kernels (sequence.cc). */
void ExportSequence(napi_env env, napi_value exports);
