// What the parts of the kernels library export to Node.
#pragma once

#include <node_api.h>

/** Fused programs (fused_program.cc). */
void ExportFused(napi_env env, napi_value exports);

/** Messages through shared memory (exchange_module.cc), if the system has what they need. */
void ExportExchange(napi_env env, napi_value exports);

/** Staging buffers (staging.cc), if the system has what they need. */
void ExportStaging(napi_env env, napi_value exports);

/** What `LapidaryMatMul` is good for on this processor (gemm.cc). */
void ExportMatMul(napi_env env, napi_value exports);
