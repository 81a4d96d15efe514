// Files of checkpoints, written and read past the page cache. This costs a tenth of the processor
// time of ordinary writes, and reading back verifies the disk.
//
// The work runs on Node's worker threads. The files of one directory are one task, because the
// change of threads costs as much as writing a small file. The library does not need TensorFlow.
#include <node_api.h>

#if defined(__linux__)

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "common/arguments.h"
#include "common/checksum.h"
#include "common/mapping.h"
#include "reader.h"
#include "task.h"
#include "writer.h"

namespace disk {
namespace {

napi_value Element(napi_env env, napi_value list, uint32_t i) {
  napi_value value;
  napi_get_element(env, list, i, &value);
  return value;
}

uint32_t LengthOf(napi_env env, napi_value list) {
  uint32_t length = 0;
  napi_get_array_length(env, list, &length);
  return length;
}

/** The numbers of a list, as sizes. */
std::vector<size_t> SizesOf(napi_env env, napi_value list) {
  std::vector<size_t> sizes(LengthOf(env, list));
  for (uint32_t i = 0; i < sizes.size(); i++)
    sizes[i] = static_cast<size_t>(Int(env, Element(env, list, i)));
  return sizes;
}

napi_value MakeChecksums(napi_env env, const std::vector<uint32_t>& checksums) {
  napi_value list, checksum;
  napi_create_array_with_length(env, checksums.size(), &list);
  for (size_t i = 0; i < checksums.size(); i++) {
    napi_create_uint32(env, checksums[i], &checksum);
    napi_set_element(env, list, static_cast<uint32_t>(i), checksum);
  }
  return list;
}

std::shared_ptr<Files> FilesOf(napi_env env, napi_value value) {
  void* data = nullptr;
  if (napi_get_value_external(env, value, &data) != napi_ok) return nullptr;
  return *static_cast<std::shared_ptr<Files>*>(data);
}

napi_value MakeFiles(napi_env env, const std::shared_ptr<Files>& files) {
  const auto release = [](napi_env, void* data, void*) {
    delete static_cast<std::shared_ptr<Files>*>(data);
  };
  napi_value value;
  napi_create_external(env, new std::shared_ptr<Files>(files), release, nullptr, &value);
  return value;
}

/**
 * create(directory, names: string[]) → Promise of empty files. If one of them cannot be created,
 * all are closed.
 */
napi_value Create(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  std::vector<std::string> names(LengthOf(env, args[1]));
  for (uint32_t i = 0; i < names.size(); i++) names[i] = Text(env, Element(env, args[1], i));
  auto files = std::make_shared<Files>();
  auto task = std::make_unique<Task>();
  task->run = [files, directory = Text(env, args[0]), names] {
    return files->Create(directory, names);
  };
  task->result = [files](napi_env of) { return MakeFiles(of, files); };
  return Start(env, std::move(task));
}

/** Reads parts and their checksums, if known. @returns whether all parts are a Uint8Array */
bool ReadParts(napi_env env, napi_value list, napi_value checksums, std::vector<Part>& parts) {
  parts.resize(LengthOf(env, list));
  for (uint32_t i = 0; i < parts.size(); i++) {
    Bytes bytes;
    if (!ReadBytes(env, Element(env, list, i), bytes)) return false;
    Part& part = parts[i];
    part.span = {bytes.data, bytes.length};
    part.has_checksum =
        napi_get_value_uint32(env, Element(env, checksums, i), &part.checksum) == napi_ok;
  }
  return true;
}

/**
 * write(files, counts: number[], parts: Uint8Array[], checksums: (number | undefined)[]) → Promise
 * of the checksums of all parts. `counts` has the number of parts of each file, in order.
 */
napi_value Write(napi_env env, napi_callback_info info) {
  napi_value args[4];
  if (!Arguments(env, info, args)) return nullptr;
  const std::shared_ptr<Files> files = FilesOf(env, args[0]);
  const std::vector<size_t> counts = SizesOf(env, args[1]);
  size_t count = 0;
  for (size_t each : counts) count += each;
  auto parts = std::make_shared<std::vector<Part>>();
  if (!ReadParts(env, args[2], args[3], *parts) || files == nullptr ||
      counts.size() != files->size() || count != parts->size()) {
    napi_throw_error(env, nullptr, "write expects files, and parts for each file");
    return nullptr;
  }
  auto task = std::make_unique<Task>();
  // The list references its parts, and the parts reference their memory.
  napi_create_reference(env, args[2], 1, &task->kept);
  task->run = [files, counts, parts] { return files->Write(counts, *parts); };
  task->result = [parts](napi_env of) {
    std::vector<uint32_t> checksums;
    for (const Part& part : *parts) checksums.push_back(part.checksum);
    return MakeChecksums(of, checksums);
  };
  return Start(env, std::move(task));
}

/** sync(files) → Promise. */
napi_value Sync(napi_env env, napi_callback_info info) {
  napi_value args[1];
  if (!Arguments(env, info, args)) return nullptr;
  const std::shared_ptr<Files> files = FilesOf(env, args[0]);
  if (files == nullptr) return nullptr;
  return StartWork(env, [files] { return files->Sync(); });
}

/** close(files). Synchronous, because it does not wait for the disk after a sync. */
napi_value Close(napi_env env, napi_callback_info info) {
  napi_value args[1];
  if (!Arguments(env, info, args)) return nullptr;
  const std::shared_ptr<Files> files = FilesOf(env, args[0]);
  if (files == nullptr) return nullptr;
  if (const Failure failure = files->Close(); failure.error != 0)
    napi_throw(env, ErrorOf(env, failure));
  return Undefined(env);
}

Failure SyncDirectory(const std::string& path) {
  const int directory = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return {errno, "open"};
  const Failure failure = fsync(directory) != 0 ? Failure{errno, "fsync"} : Failure{};
  close(directory);
  return failure;
}

/** Removes a file, or a directory with all its contents. A missing path is not an error. */
Failure Remove(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  return {error.value(), "unlink"};
}

/** `name(path)` → Promise of work on a path. */
template <Failure (*work)(const std::string&)>
napi_value OnPath(napi_env env, napi_callback_info info) {
  napi_value args[1];
  if (!Arguments(env, info, args)) return nullptr;
  return StartWork(env, [path = Text(env, args[0])] { return work(path); });
}

/** A buffer that tasks share, because new memory costs as much as reading a small file. */
class SpareBuffer {
 public:
  std::unique_ptr<Buffer> Take() {
    std::lock_guard<std::mutex> lock(mutex_);
    return buffer_ != nullptr ? std::move(buffer_) : std::make_unique<Buffer>(kReadMax);
  }

  void GiveBack(std::unique_ptr<Buffer> buffer) {
    std::lock_guard<std::mutex> lock(mutex_);
    buffer_ = std::move(buffer);
  }

 private:
  std::mutex mutex_;
  std::unique_ptr<Buffer> buffer_;
};

Failure ComputeAllChecksums(std::vector<WrittenFile>& files) {
  static SpareBuffer spare;
  std::unique_ptr<Buffer> buffer = spare.Take();
  if (buffer->data() == nullptr) return {ENOMEM, "mmap"};
  Failure failure;
  for (size_t i = 0; i < files.size() && failure.error == 0; i++)
    failure = ComputeChecksums(files[i], *buffer);
  spare.GiveBack(std::move(buffer));
  return failure;
}

/**
 * checksums(paths: string[], lengths: number[][]) → Promise of the checksums of each file: those of
 * the parts that it has, and one more if it continues after the last part.
 */
napi_value Checksums(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  auto files = std::make_shared<std::vector<WrittenFile>>(LengthOf(env, args[0]));
  for (uint32_t i = 0; i < files->size(); i++) {
    (*files)[i].path = Text(env, Element(env, args[0], i));
    (*files)[i].lengths = SizesOf(env, Element(env, args[1], i));
  }
  auto task = std::make_unique<Task>();
  task->run = [files] { return ComputeAllChecksums(*files); };
  task->result = [files](napi_env of) {
    napi_value list;
    napi_create_array_with_length(of, files->size(), &list);
    for (uint32_t i = 0; i < files->size(); i++)
      napi_set_element(of, list, i, MakeChecksums(of, (*files)[i].checksums));
    return list;
  };
  return Start(env, std::move(task));
}

/** onLargePages(bytes) → Promise. Moves shared memory to large pages, if the system has any. */
napi_value OnLargePages(napi_env env, napi_callback_info info) {
  napi_value args[1];
  Bytes bytes;
  if (!Arguments(env, info, args) || !ReadBytes(env, args[0], bytes)) return nullptr;
  auto task = std::make_unique<Task>();
  napi_create_reference(env, args[0], 1, &task->kept);
  task->run = [bytes] {
    mapping::OnLargePages(bytes.data, bytes.length);
    return Failure{};
  };
  task->result = Undefined;
  return Start(env, std::move(task));
}

/** crc32(bytes, previous) → the checksum, continued from that of the bytes before. */
napi_value Crc32(napi_env env, napi_callback_info info) {
  napi_value args[2], value;
  Bytes bytes;
  uint32_t previous = 0;
  if (!Arguments(env, info, args) || !ReadBytes(env, args[0], bytes)) return nullptr;
  napi_get_value_uint32(env, args[1], &previous);
  napi_create_uint32(env, checksum::Crc32(bytes.data, bytes.length, previous), &value);
  return value;
}

}  // namespace
}  // namespace disk

NAPI_MODULE_INIT() {
  ExportFunctions(env, exports,
                  {{"create", disk::Create},
                   {"write", disk::Write},
                   {"sync", disk::Sync},
                   {"close", disk::Close},
                   {"checksums", disk::Checksums},
                   {"syncDirectory", disk::OnPath<disk::SyncDirectory>},
                   {"remove", disk::OnPath<disk::Remove>},
                   {"crc32", disk::Crc32},
                   {"onLargePages", disk::OnLargePages},
                   {"share", mapping::Share}});
  return exports;
}

#else

/** On other systems Node writes the files. */
NAPI_MODULE_INIT() { return exports; }

#endif
