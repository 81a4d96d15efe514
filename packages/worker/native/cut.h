#pragma once
// How a part lies in a whole, and how Node tells it: numbers of a Float64Array, lists with their length before them.
#include <node_api.h>

#include <cstdint>
#include <cstring>
#include <vector>

/** How a part lies in a whole: runs of neighbours, at a stride for each outer dim. */
struct Cut {
  std::vector<int64_t> bases;  // by member
  std::vector<int64_t> sizes, strides;
  int64_t run = 1;
};

/** Calls `work` with the place of every run in the whole, in the order in which they follow one another in the part. */
template <typename Work>
inline void ForEachRun(const Cut& cut, int64_t base, Work work) {
  std::vector<int64_t> index(cut.sizes.size(), 0);
  int64_t at = base;
  for (;;) {
    work(at);
    int64_t d = static_cast<int64_t>(cut.sizes.size()) - 1;
    for (; d >= 0; d--) {
      at += cut.strides[d];
      if (++index[d] < cut.sizes[d]) break;
      index[d] = 0;
      at -= cut.strides[d] * cut.sizes[d];
    }
    if (d < 0) return;
  }
}

struct Reader {
  const std::vector<int64_t>& data;
  size_t at = 0;
  int64_t Next() { return at < data.size() ? data[at++] : (at++, 0); }
  std::vector<int64_t> List() {
    std::vector<int64_t> list;
    for (int64_t i = Next(); i > 0 && at < data.size(); i--) list.push_back(Next());
    return list;
  }
  Cut ReadCut() {
    Cut cut;
    cut.bases = List();
    cut.sizes = List();
    cut.strides = List();
    cut.run = Next();
    return cut;
  }
};

inline std::vector<int64_t> Numbers(napi_env env, napi_value array) {
  napi_typedarray_type type;
  size_t length = 0;
  void* data = nullptr;
  if (napi_get_typedarray_info(env, array, &type, &length, &data, nullptr, nullptr) != napi_ok || type != napi_float64_array) return {};
  const double* numbers = static_cast<const double*>(data);
  return std::vector<int64_t>(numbers, numbers + length);
}

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

template <size_t count>
bool Arguments(napi_env env, napi_callback_info info, napi_value (&args)[count]) {
  size_t given = count;
  return napi_get_cb_info(env, info, &given, args, nullptr, nullptr) == napi_ok && given == count;
}
