// Files opened past the page cache (direct I/O). If a file system does not support it (tmpfs), the
// same calls use the page cache.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace disk {

/**
 * Direct I/O transfers multiples of this many bytes, at multiples of it in memory and in the file.
 */
constexpr size_t kBlock = 4096;

/** A failed system call, and its file if the work was on several. Success has the number 0. */
struct Failure {
  int error = 0;
  const char* call = "";
  std::string path = {};
};

/** Memory on a block boundary. Its data is null if the allocation fails. */
class Buffer {
 public:
  explicit Buffer(size_t bytes);
  ~Buffer();
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  uint8_t* data() const { return data_; }

 private:
  uint8_t* data_ = nullptr;
  size_t bytes_;
};

/** Opens a file with direct I/O if the file system supports it. */
int OpenDirect(const char* path, int flags);

/**
 * Some file systems accept direct I/O in `open` and reject it later. Called after a failed call: if
 * that may be the reason, the file continues through the page cache.
 *
 * @returns whether the call should be repeated
 */
bool DisableDirect(int file);

}  // namespace disk
