#pragma once
#include <node_api.h>

/** Adds the functions of shared memory to the module, where the system has what they need. */
void ExportShared(napi_env env, napi_value exports);

/** Adds the functions of images (image.cc). */
void ExportImages(napi_env env, napi_value exports);
