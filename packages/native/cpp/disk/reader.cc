#include "reader.h"

#if defined(__linux__)

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <numeric>

#include "common/checksum.h"

namespace disk {
namespace {

/** Divides the bytes of a file into its parts and computes their checksums. */
class PartChecksums {
 public:
  explicit PartChecksums(WrittenFile& file)
      : file_(file), left_(file.lengths.empty() ? 0 : file.lengths[0]) {
    EndParts();
  }

  void Add(const uint8_t* data, size_t length) {
    while (length > 0 && !continues_) {
      const size_t taken = std::min(left_, length);
      if (taken == 0) {
        continues_ = true;
        file_.checksums.push_back(0);
      }
      checksum_ = checksum::Crc32(data, taken, checksum_);
      data += taken, length -= taken, left_ -= taken;
      EndParts();
    }
  }

  /** Whether the file continues after the last part. */
  bool continues() const { return continues_; }

 private:
  void EndParts() {
    while (left_ == 0 && part_ < file_.lengths.size()) {
      file_.checksums.push_back(checksum_);
      checksum_ = 0;
      left_ = ++part_ < file_.lengths.size() ? file_.lengths[part_] : 0;
    }
  }

  WrittenFile& file_;
  size_t part_ = 0, left_;
  uint32_t checksum_ = 0;
  bool continues_ = false;
};

}  // namespace

Failure ComputeChecksums(WrittenFile& written, const Buffer& buffer) {
  const int file = OpenDirect(written.path.c_str(), O_RDONLY);
  if (file < 0) return {errno, "open", written.path};
  Failure failure;
  PartChecksums parts(written);
  // One block more than the parts have shows whether the file continues.
  const size_t whole = std::accumulate(written.lengths.begin(), written.lengths.end(), size_t{0});
  const size_t piece = std::min(kReadMax, (whole / kBlock + 1) * kBlock);
  for (off_t position = 0; failure.error == 0;) {
    const ssize_t got = pread(file, buffer.data(), piece, position);
    if (got < 0) {
      if (errno != EINTR && !DisableDirect(file)) failure = {errno, "read", written.path};
      continue;
    }
    if (got == 0) break;
    parts.Add(buffer.data(), static_cast<size_t>(got));
    // A read that is not a multiple of a block has reached the end.
    if (parts.continues() || got % static_cast<ssize_t>(kBlock) != 0) break;
    position += got;
  }
  close(file);
  return failure;
}

}  // namespace disk

#endif
