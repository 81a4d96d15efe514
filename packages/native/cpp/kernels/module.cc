#include "module.h"

NAPI_MODULE_INIT() {
  ExportFused(env, exports);
  ExportExchange(env, exports);
  ExportStaging(env, exports);
  ExportMatMul(env, exports);
  ExportDot(env, exports);
  ExportSequence(env, exports);
  return exports;
}
