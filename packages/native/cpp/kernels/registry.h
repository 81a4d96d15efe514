// Fused programs, dots and sequences: Node registers their code once, and kernels find the decoded
// form by its number.
#pragma once

#include <node_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace registry {

/** Reads numbers of a code in order. After the first number that is out of range, `ok_` is false. */
class CodeReader {
 protected:
  CodeReader(const int32_t* code, size_t length) : code_(code), length_(length) {}

  int32_t Next() {
    if (at_ >= length_) {
      ok_ = false;
      return 0;
    }
    return code_[at_++];
  }

  /** A count, then so many numbers. */
  std::vector<int64_t> List() {
    const int32_t count = Next();
    std::vector<int64_t> list;
    for (int32_t i = 0; ok_ && i < count; i++) list.push_back(Next());
    return list;
  }

  void Require(bool holds) { ok_ = ok_ && holds; }

  /** Whether the whole code was read, and nothing was out of range. */
  bool IsComplete() const { return ok_ && at_ == length_; }

  bool ok_ = true;

 private:
  const int32_t* code_;
  const size_t length_;
  size_t at_ = 0;
};

/** The decoded forms by number. */
template <typename T>
class Registry {
 public:
  /** Null if no form has the number. */
  std::shared_ptr<const T> Find(int64_t id) {
    std::lock_guard<std::mutex> lock(mutex_);
    return id >= 0 && id < static_cast<int64_t>(forms_.size()) ? forms_[id] : nullptr;
  }

  /** The number of the form, for Node. Throws `malformed` in Node if the form is null. */
  napi_value Add(napi_env env, std::shared_ptr<const T> form, const char* malformed) {
    if (form == nullptr) {
      napi_throw_error(env, nullptr, malformed);
      return nullptr;
    }
    napi_value id;
    std::lock_guard<std::mutex> lock(mutex_);
    forms_.push_back(std::move(form));
    napi_create_int64(env, static_cast<int64_t>(forms_.size()) - 1, &id);
    return id;
  }

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<const T>> forms_;
};

/** An `Int32Array` that is the only argument of a call from Node. */
struct Code {
  const int32_t* data = nullptr;
  size_t length = 0;
};

/** Throws a type error with the text in Node, and returns false, if the argument is another. */
inline bool ReadCode(napi_env env, napi_callback_info info, const char* expected, Code* code) {
  size_t argc = 1;
  napi_value argument;
  napi_typedarray_type type;
  void* data = nullptr;
  napi_get_cb_info(env, info, &argc, &argument, nullptr, nullptr);
  if (argc < 1 ||
      napi_get_typedarray_info(env, argument, &type, &code->length, &data, nullptr, nullptr) !=
          napi_ok ||
      type != napi_int32_array) {
    napi_throw_type_error(env, nullptr, expected);
    return false;
  }
  code->data = static_cast<const int32_t*>(data);
  return true;
}

}  // namespace registry
