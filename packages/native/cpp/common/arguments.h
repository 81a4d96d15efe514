// Values of Node as values of C++, and back.
#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

/** Reads the arguments of a call. @returns whether their number is `count` */
template <size_t count>
bool Arguments(napi_env env, napi_callback_info info, napi_value (&args)[count]) {
  size_t given = count;
  return napi_get_cb_info(env, info, &given, args, nullptr, nullptr) == napi_ok && given == count;
}

/** The elements of a Float64Array; none of another value. */
inline std::vector<int64_t> Numbers(napi_env env, napi_value array) {
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, array, &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != napi_float64_array)
    return {};
  const double* numbers = static_cast<const double*>(data);
  return std::vector<int64_t>(numbers, numbers + length);
}

/** An integer; -1 if the value is not a number. */
inline int64_t Int(napi_env env, napi_value value) {
  int64_t number = -1;
  napi_get_value_int64(env, value, &number);
  return number;
}

/** A string; empty if the value is not a string. */
inline std::string Text(napi_env env, napi_value value) {
  size_t length = 0;
  napi_get_value_string_utf8(env, value, nullptr, 0, &length);
  std::string text(length, '\0');
  napi_get_value_string_utf8(env, value, text.data(), length + 1, &length);
  return text;
}

/** Memory of Node. */
struct Bytes {
  uint8_t* data = nullptr;
  size_t length = 0;
};

/** Reads a Uint8Array. @returns whether the value is one */
inline bool ReadBytes(napi_env env, napi_value array, Bytes& bytes) {
  napi_typedarray_type type;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, array, &type, &bytes.length, &data, nullptr, nullptr) !=
          napi_ok ||
      type != napi_uint8_array)
    return false;
  bytes.data = static_cast<uint8_t*>(data);
  return true;
}

inline napi_value MakeInt(napi_env env, int64_t number) {
  napi_value value;
  napi_create_int64(env, number, &value);
  return value;
}

inline napi_value MakeBool(napi_env env, bool truth) {
  napi_value value;
  napi_get_boolean(env, truth, &value);
  return value;
}

struct ExportedFunction {
  const char* name;
  napi_callback call;
};

inline void ExportFunctions(napi_env env, napi_value exports,
                            std::initializer_list<ExportedFunction> functions) {
  for (const auto& [name, call] : functions) {
    napi_value function;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, call, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  }
}
