#pragma once
// Memory that processes of this machine share: without a name (memfd), opened by the number that its file has in the process that made it.
#include "arguments.h"

#if defined(__linux__)

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

namespace mapping {

/** Mapped memory, and its file if it was made here: others can open it as long as that is open. */
struct Mapped {
  void* data = nullptr;
  size_t bytes = 0;
  int file = -1;
  ~Mapped() {
    if (data != nullptr) munmap(data, bytes);
    if (file >= 0) close(file);
  }
};

constexpr size_t kLargePage = size_t{2} << 20;

/** Maps a file where large pages can be laid under it: at one of their boundaries. @returns MAP_FAILED where it cannot be had */
inline void* Map(int file, size_t bytes) {
  const size_t room = bytes + kLargePage;
  void* reserved = bytes < kLargePage ? MAP_FAILED : mmap(nullptr, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  char* const begin = static_cast<char*>(reserved);
  char* const at = begin + (kLargePage - reinterpret_cast<uintptr_t>(begin) % kLargePage) % kLargePage;
  void* data = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
  if (data == MAP_FAILED) {
    munmap(begin, room);
    return data;
  }
  // What was reserved around it.
  constexpr size_t page = 4096;
  const size_t end = (bytes + page - 1) / page * page;
  if (at > begin) munmap(begin, at - begin);
  if (at + end < begin + room) munmap(at + end, begin + room - at - end);
  return data;
}

/**
 * Lays large pages under memory that was written, as far as the system has any: whoever maps it finds and pins its pages 512 at a time. For memory that is shared it does so
 * only when it is asked like this (Linux 6.1), and copies what is there.
 */
inline void OnLargePages(void* data, size_t bytes) {
  constexpr int collapse = 25;  // MADV_COLLAPSE, which older headers do not know
  madvise(data, bytes / kLargePage * kLargePage, collapse);
}

/** Maps a file that has this very size. @returns null where it cannot be had */
inline std::unique_ptr<Mapped> Open(const std::string& path, int64_t bytes) {
  const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
  struct stat status;
  if (file < 0) return nullptr;
  void* data = bytes > 0 && fstat(file, &status) == 0 && status.st_size == bytes ? Map(file, static_cast<size_t>(bytes)) : MAP_FAILED;
  close(file);
  if (data == MAP_FAILED) return nullptr;
  auto mapped = std::make_unique<Mapped>();
  mapped->data = data;
  mapped->bytes = static_cast<size_t>(bytes);
  return mapped;
}

/** @returns null where the system gives none */
inline std::unique_ptr<Mapped> Make(int64_t bytes) {
  auto mapped = std::make_unique<Mapped>();
  mapped->file = bytes <= 0 ? -1 : static_cast<int>(syscall(SYS_memfd_create, "lapidary", 1u /* close on exec */));
  if (mapped->file < 0 || ftruncate(mapped->file, bytes) != 0) return nullptr;
  void* data = Map(mapped->file, static_cast<size_t>(bytes));
  if (data == MAP_FAILED) return nullptr;
  mapped->data = data;
  mapped->bytes = static_cast<size_t>(bytes);
  return mapped;
}

/** As an ArrayBuffer, with which it goes. @returns null if Node takes none */
inline napi_value AsArrayBuffer(napi_env env, std::unique_ptr<Mapped> mapped) {
  const auto release = [](napi_env, void*, void* hint) { delete static_cast<Mapped*>(hint); };
  napi_value memory;
  if (napi_create_external_arraybuffer(env, mapped->data, mapped->bytes, release, mapped.get(), &memory) != napi_ok) return nullptr;
  mapped.release();
  return memory;
}

/** share(bytes) → { file, memory: ArrayBuffer }, or undefined where the system gives none. */
inline napi_value Share(napi_env env, napi_callback_info info) {
  napi_value args[1], result;
  if (!Arguments(env, info, args)) return nullptr;
  std::unique_ptr<Mapped> mapped = Make(Int(env, args[0]));
  if (mapped == nullptr) return nullptr;
  const napi_value number = MakeInt(env, mapped->file);
  const napi_value memory = AsArrayBuffer(env, std::move(mapped));
  if (memory == nullptr) return nullptr;
  napi_create_object(env, &result);
  napi_set_named_property(env, result, "file", number);
  napi_set_named_property(env, result, "memory", memory);
  return result;
}

/** view(path, bytes) → ArrayBuffer over memory of another process, or undefined where it cannot be had. */
inline napi_value View(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  std::unique_ptr<Mapped> mapped = Open(Text(env, args[0]), Int(env, args[1]));
  return mapped == nullptr ? nullptr : AsArrayBuffer(env, std::move(mapped));
}

}  // namespace mapping

#endif
