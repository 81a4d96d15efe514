#pragma once
// What Node passes to functions, as C++ has it.
#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

/** @returns whether as many were given as there is room for */
template <size_t count>
bool Arguments(napi_env env, napi_callback_info info, napi_value (&args)[count]) {
  size_t given = count;
  return napi_get_cb_info(env, info, &given, args, nullptr, nullptr) == napi_ok && given == count;
}

/** Of a Float64Array; none of anything else. */
inline std::vector<int64_t> Numbers(napi_env env, napi_value array) {
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, array, &type, &length, &data, nullptr, nullptr) != napi_ok || type != napi_float64_array) return {};
  const double* numbers = static_cast<const double*>(data);
  return std::vector<int64_t>(numbers, numbers + length);
}

/** -1 if it is no number. */
inline int64_t Int(napi_env env, napi_value value) {
  int64_t number = -1;
  napi_get_value_int64(env, value, &number);
  return number;
}

inline napi_value MakeInt(napi_env env, int64_t number) {
  napi_value value;
  napi_create_int64(env, number, &value);
  return value;
}

/** Empty if it is no text. */
inline std::string Text(napi_env env, napi_value value) {
  size_t length = 0;
  napi_get_value_string_utf8(env, value, nullptr, 0, &length);
  std::string text(length, '\0');
  napi_get_value_string_utf8(env, value, text.data(), length + 1, &length);
  return text;
}
