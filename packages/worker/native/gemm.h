#pragma once
#include <node_api.h>

/** Tells which products this processor has kernels for; loading the module has registered the op `LapidaryMatMul`. */
void ExportProducts(napi_env env, napi_value exports);
