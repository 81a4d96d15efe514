#include "direct_io.h"

#if defined(__linux__)

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

namespace disk {

/** Buffers of this size are on one large page, if the system has any. */
constexpr size_t kLargePage = size_t{2} << 20;

Buffer::Buffer(size_t bytes) : bytes_(bytes) {
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) return;
  if (bytes == kLargePage) madvise(data, bytes, MADV_HUGEPAGE);
  data_ = static_cast<uint8_t*>(data);
}

Buffer::~Buffer() {
  if (data_ != nullptr) munmap(data_, bytes_);
}

int OpenDirect(const char* path, int flags) {
  const int file = open(path, flags | O_DIRECT | O_CLOEXEC, 0666);
  return file < 0 && errno == EINVAL ? open(path, flags | O_CLOEXEC, 0666) : file;
}

bool DisableDirect(int file) {
  const int flags = fcntl(file, F_GETFL);
  return errno == EINVAL && flags >= 0 && (flags & O_DIRECT) != 0 &&
         fcntl(file, F_SETFL, flags & ~O_DIRECT) == 0;
}

}  // namespace disk

#endif
