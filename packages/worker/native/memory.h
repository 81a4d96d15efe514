#pragma once
#include <node_api.h>

/** Adds the letting go of memory that is not needed any more to the module, where the system can. */
void ExportMemory(napi_env env, napi_value exports);
