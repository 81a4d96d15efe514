#include "writer.h"

#if defined(__linux__)

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "common/checksum.h"

namespace disk {
namespace {

/** Bytes of one call at most. Fewer calls cost the kernel less. */
constexpr size_t kWriteMax = size_t{32} << 20;

/** Size of the buffer for bytes that cannot be written directly from their memory. */
constexpr size_t kBounce = size_t{1} << 20;

}  // namespace

File::File() : bounce_(kBounce) {}

File::~File() {
  if (file_ >= 0) close(file_);
}

Failure File::Open(const std::string& path) {
  path_ = path;
  file_ = OpenDirect(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC);
  return file_ < 0 ? Failed("open") : Failure{};
}

Failure File::Write(Part& part) {
  if (!part.has_checksum) part.checksum = checksum::Crc32(part.span.data, part.span.length);
  return Append(part.span.data, part.span.length);
}

Failure File::Flush() {
  const Span span = std::exchange(span_, Span{nullptr, 0});
  const size_t whole = span.length / kBlock * kBlock;
  if (whole > 0)
    if (const Failure failure = Put(span.data, whole); failure.error != 0) return failure;
  if (span.length > whole) {
    std::memcpy(bounce_.data(), span.data + whole, span.length - whole);
    kept_ = span.length - whole;
  }
  return {};
}

Failure File::End() {
  if (kept_ == 0) return {};
  const int flags = fcntl(file_, F_GETFL);
  if (flags < 0 || ((flags & O_DIRECT) != 0 && fcntl(file_, F_SETFL, flags & ~O_DIRECT) != 0))
    return Failed("fcntl");
  const size_t kept = std::exchange(kept_, 0);
  if (const Failure failure = Put(bounce_.data(), kept); failure.error != 0) return failure;
  // A hint. The sync completes the transfer, and one commit of the file system then covers all
  // synced files.
  sync_file_range(file_, 0, 0, SYNC_FILE_RANGE_WRITE);
  return {};
}

Failure File::Sync() { return fsync(file_) != 0 ? Failed("fsync") : Failure{}; }

Failure File::Close() {
  const int file = std::exchange(file_, -1);
  return file >= 0 && close(file) != 0 ? Failed("close") : Failure{};
}

Failure File::Failed(const char* call) const { return {errno, call, path_}; }

Failure File::Append(const uint8_t* data, size_t length) {
  if (bounce_.data() == nullptr) return {ENOMEM, "mmap", path_};
  while (length > 0) {
    const bool continues = span_.data + span_.length == data && span_.length < kWriteMax;
    if (span_.length > 0 && !continues)
      if (const Failure failure = Flush(); failure.error != 0) return failure;
    // If both positions have the same offset in a block, all bytes except the edges are written
    // directly.
    const size_t position = written_ + kept_ + span_.length;
    const bool aligned = (reinterpret_cast<uintptr_t>(data) - position) % kBlock == 0;
    size_t taken = 0;
    if (span_.length > 0 || (aligned && kept_ == 0))
      taken = ExtendSpan(data, length);
    else if (const Failure failure = Bounce(data, length, aligned, taken); failure.error != 0)
      return failure;
    data += taken, length -= taken;
  }
  return {};
}

size_t File::ExtendSpan(const uint8_t* data, size_t length) {
  if (span_.length == 0) span_.data = data;
  const size_t taken = std::min(length, kWriteMax - span_.length);
  span_.length += taken;
  return taken;
}

Failure File::Bounce(const uint8_t* data, size_t length, bool aligned, size_t& taken) {
  const size_t space = aligned ? kBlock - kept_ % kBlock : kBounce - kept_;
  taken = std::min(length, space);
  std::memcpy(bounce_.data() + kept_, data, taken);
  kept_ += taken;
  if (kept_ != kBounce && !(aligned && kept_ % kBlock == 0)) return {};
  if (const Failure failure = Put(bounce_.data(), kept_); failure.error != 0) return failure;
  kept_ = 0;
  return {};
}

Failure File::Put(const uint8_t* data, size_t length) {
  while (length > 0) {
    const ssize_t wrote = pwrite(file_, data, length, static_cast<off_t>(written_));
    if (wrote < 0) {
      if (errno == EINTR || DisableDirect(file_)) continue;
      return Failed("write");
    }
    if (wrote == 0) return {EIO, "write", path_};
    data += wrote, length -= wrote, written_ += wrote;
  }
  return {};
}

Failure Files::Create(const std::string& directory, const std::vector<std::string>& names) {
  if (mkdir(directory.c_str(), 0777) != 0 && errno != EEXIST) {
    // Parents are created only if they are missing: create_directories would report a read-only
    // disk as a missing directory.
    if (errno != ENOENT) return {errno, "mkdir"};
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) return {error.value(), "mkdir"};
  }
  for (const std::string& name : names) {
    files_.push_back(std::make_unique<File>());
    if (const Failure failure = files_.back()->Open(directory + "/" + name); failure.error != 0)
      return failure;
  }
  return {};
}

Failure Files::Write(const std::vector<size_t>& counts, std::vector<Part>& parts) {
  size_t next = 0;
  for (size_t i = 0; i < files_.size(); i++) {
    for (const size_t end = next + counts[i]; next < end; next++)
      if (const Failure failure = files_[i]->Write(parts[next]); failure.error != 0) return failure;
    if (const Failure failure = files_[i]->Flush(); failure.error != 0) return failure;
  }
  return {};
}

Failure Files::Sync() {
  for (const auto& file : files_)
    if (const Failure failure = file->End(); failure.error != 0) return failure;
  for (const auto& file : files_)
    if (const Failure failure = file->Sync(); failure.error != 0) return failure;
  return {};
}

Failure Files::Close() {
  Failure first;
  for (const auto& file : files_)
    if (const Failure failure = file->Close(); failure.error != 0 && first.error == 0)
      first = failure;
  return first;
}

}  // namespace disk

#endif
