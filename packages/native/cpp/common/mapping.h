// Memory that processes of this machine share. Its file has no name (memfd); other processes open
// it by the file descriptor of the process that created it.
#pragma once

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

/**
 * Mapped memory, and its file if this process created it. While the file is open, others can map
 * it.
 */
struct Mapped {
  void* data = nullptr;
  size_t bytes = 0;
  int file = -1;
  Mapped() = default;
  Mapped(const Mapped&) = delete;
  Mapped& operator=(const Mapped&) = delete;
  ~Mapped() {
    if (data != nullptr) munmap(data, bytes);
    if (file >= 0) close(file);
  }
};

constexpr size_t kLargePage = size_t{2} << 20;

/** Maps a file at a boundary of large pages. @returns MAP_FAILED on failure */
inline void* Map(int file, size_t bytes) {
  const size_t reserved_bytes = bytes + kLargePage;
  void* reserved = bytes < kLargePage ? MAP_FAILED
                                      : mmap(nullptr, reserved_bytes, PROT_NONE,
                                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED)
    return mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  char* const begin = static_cast<char*>(reserved);
  char* const at =
      begin + (kLargePage - reinterpret_cast<uintptr_t>(begin) % kLargePage) % kLargePage;
  void* data = mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0);
  if (data == MAP_FAILED) {
    munmap(begin, reserved_bytes);
    return data;
  }
  // The reserved memory before and after it.
  constexpr size_t page = 4096;
  const size_t end = (bytes + page - 1) / page * page;
  if (at > begin) munmap(begin, at - begin);
  if (at + end < begin + reserved_bytes) munmap(at + end, begin + reserved_bytes - at - end);
  return data;
}

/**
 * Moves memory that was written to large pages, if the system has any. A process that maps it then
 * finds and pins 512 pages at a time. Linux (from 6.1) does this for shared memory on request only,
 * and copies the contents.
 */
inline void OnLargePages(void* data, size_t bytes) {
  constexpr int collapse = 25;  // MADV_COLLAPSE; older headers lack it
  madvise(data, bytes / kLargePage * kLargePage, collapse);
}

/** Maps a file of exactly `bytes` bytes. @returns null if the file does not exist */
inline std::unique_ptr<Mapped> Open(const std::string& path, int64_t bytes) {
  const int file = open(path.c_str(), O_RDWR | O_CLOEXEC);
  struct stat status;
  if (file < 0) return nullptr;
  void* data = bytes > 0 && fstat(file, &status) == 0 && status.st_size == bytes
                   ? Map(file, static_cast<size_t>(bytes))
                   : MAP_FAILED;
  close(file);
  if (data == MAP_FAILED) return nullptr;
  auto mapped = std::make_unique<Mapped>();
  mapped->data = data;
  mapped->bytes = static_cast<size_t>(bytes);
  return mapped;
}

/** Creates shared memory. @returns null if the allocation fails */
inline std::unique_ptr<Mapped> Make(int64_t bytes) {
  auto mapped = std::make_unique<Mapped>();
  mapped->file =
      bytes <= 0 ? -1
                 : static_cast<int>(syscall(SYS_memfd_create, "lapidary", 1u /* close on exec */));
  if (mapped->file < 0 || ftruncate(mapped->file, bytes) != 0) return nullptr;
  void* data = Map(mapped->file, static_cast<size_t>(bytes));
  if (data == MAP_FAILED) return nullptr;
  mapped->data = data;
  mapped->bytes = static_cast<size_t>(bytes);
  return mapped;
}

/** An ArrayBuffer that owns the memory. @returns null if Node rejects it */
inline napi_value AsArrayBuffer(napi_env env, std::unique_ptr<Mapped> mapped) {
  const auto release = [](napi_env, void*, void* hint) { delete static_cast<Mapped*>(hint); };
  napi_value memory;
  if (napi_create_external_arraybuffer(env, mapped->data, mapped->bytes, release, mapped.get(),
                                       &memory) != napi_ok)
    return nullptr;
  mapped.release();
  return memory;
}

/** share(bytes) → { file, memory: ArrayBuffer }, or undefined if the allocation fails. */
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

/** view(path, bytes) → ArrayBuffer with the memory of another process, or undefined. */
inline napi_value View(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  std::unique_ptr<Mapped> mapped = Open(Text(env, args[0]), Int(env, args[1]));
  return mapped == nullptr ? nullptr : AsArrayBuffer(env, std::move(mapped));
}

}  // namespace mapping

#endif
