// Files that are read back from the disk. With direct I/O the checksums are of the bytes on the
// disk, not of the writer's memory in the page cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "direct_io.h"

namespace disk {

/** Bytes of one read: a large page, which the kernel looks up once. */
constexpr size_t kReadMax = size_t{2} << 20;

/** A file to verify, and the lengths of its parts in order. */
struct WrittenFile {
  std::string path;
  std::vector<size_t> lengths;
  /** The parts that the file has whole, and one more if it continues after the last part. */
  std::vector<uint32_t> checksums;
};

/** Computes the checksums of a file. @param buffer of `kReadMax` bytes */
Failure ComputeChecksums(WrittenFile& file, const Buffer& buffer);

}  // namespace disk
