// Files that are written with direct I/O.
//
//     memory      │ part │ part │ …              written directly, or through a copy
//     file        │ blocks of 4 KiB │ … │ rest     the rest is written through the page cache
//
// A part is written directly if its positions in memory and in the file have the same offset in a
// block.
// Its checksum is computed unless the caller has it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "direct_io.h"

namespace disk {

struct Span {
  const uint8_t* data;
  size_t length;
};

/** Bytes of a file, and their checksum if it is known. */
struct Part {
  Span span;
  bool has_checksum;
  uint32_t checksum;
};

/** A file that is written from its beginning to its end. */
class File {
 public:
  File();
  ~File();

  Failure Open(const std::string& path);

  /** Appends a part and completes its checksum. The memory of the part is read until `Flush`. */
  Failure Write(Part& part);

  /** Writes the whole blocks of the pending span and keeps a copy of the rest. */
  Failure Flush();

  /**
   * Writes the rest after the last whole block through the page cache, and starts its transfer.
   * Nothing can be appended afterwards. (To write a whole block and truncate the file would make
   * the file system read the block and write it again.)
   */
  Failure End();

  /** Returns when all bytes are on the disk. */
  Failure Sync();

  Failure Close();

 private:
  Failure Failed(const char* call) const;
  Failure Append(const uint8_t* data, size_t length);
  Failure Put(const uint8_t* data, size_t length);

  /** @returns the number of bytes that were added to the pending span */
  size_t ExtendSpan(const uint8_t* data, size_t length);
  /**
   * Copies bytes to `bounce_`, and writes it if it is full or the next byte is on a block boundary.
   */
  Failure Bounce(const uint8_t* data, size_t length, bool aligned, size_t& taken);

  std::string path_;
  /** Memory after the kept bytes, which is written directly. */
  Span span_{nullptr, 0};
  /** The file: `written_` bytes in whole blocks, then `kept_` bytes of `bounce_`, then `span_`. */
  size_t written_ = 0, kept_ = 0;
  Buffer bounce_;
  int file_ = -1;
};

/** Files of one directory that are written together. */
class Files {
 public:
  /** Creates empty files, and the directory if it is missing. */
  Failure Create(const std::string& directory, const std::vector<std::string>& names);

  /** Appends parts, `counts` of them to each file. */
  Failure Write(const std::vector<size_t>& counts, std::vector<Part>& parts);

  /** Ends all files before it syncs the first, so that the file system commits them together. */
  Failure Sync();

  /** Closes all files. @returns the first failure */
  Failure Close();

  size_t size() const { return files_.size(); }

 private:
  std::vector<std::unique_ptr<File>> files_;
};

}  // namespace disk
