// Files of checkpoints, written past the page cache: the bytes go from memory to the disk, and come back from the disk itself when they are checked. It costs a
// tenth of the processor time of ordinary writes, and reading back proves something: through the page cache one reads one's own memory.
//
//     memory      │ part │ part │ …        summed up (crc32), where nobody has yet, and written straight from where it lies, if it lies as the file does
//     file        │ blocks of 4 KiB │ … │ what is behind them, through the page cache
//
// Where a file system knows no such writes (tmpfs), ordinary ones do. All of it happens on Node's threads for work, none of it on its main thread. What is done to the
// files of a directory is one piece of work: to go to another thread and back costs as much as to write a small file.
// A module of its own, that needs no TensorFlow: the coordinator loads it.
#include <node_api.h>

#include "common/arguments.h"
#include "common/checksum.h"
#include "common/mapping.h"

#if defined(__linux__)

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <numeric>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

constexpr size_t kBlock = 4096;
/** A call writes at most this: the fewer calls, the less the kernel has to do. */
constexpr size_t kWrite = size_t{32} << 20;
/** What does not lie as the file does is put together in such pieces. */
constexpr size_t kBounce = size_t{1} << 20;

/** A system call that failed, and for what file if that was one of several. */
struct Failure {
  int error = 0;
  const char* call = "";
  std::string path = {};
};

/** A file is read in such pieces: one large page, where there are any, which the kernel looks up once. */
constexpr size_t kRead = size_t{2} << 20;

/** Memory on a block boundary. */
class Buffer {
 public:
  explicit Buffer(size_t bytes) : bytes_(bytes) {
    void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return;
    if (bytes == kRead) madvise(data, bytes, MADV_HUGEPAGE);
    data_ = static_cast<uint8_t*>(data);
  }
  ~Buffer() {
    if (data_ != nullptr) munmap(data_, bytes_);
  }
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;
  uint8_t* data() const { return data_; }

 private:
  uint8_t* data_ = nullptr;
  size_t bytes_;
};

/** Opens past the page cache where the file system can. */
int OpenDirect(const char* path, int flags) {
  const int file = open(path, flags | O_DIRECT | O_CLOEXEC, 0666);
  return file < 0 && errno == EINVAL ? open(path, flags | O_CLOEXEC, 0666) : file;
}

/** Some file systems open, and refuse only then. @returns whether it is worth another try */
bool WithoutDirect(int file) {
  const int flags = fcntl(file, F_GETFL);
  return errno == EINVAL && flags >= 0 && (flags & O_DIRECT) != 0 && fcntl(file, F_SETFL, flags & ~O_DIRECT) == 0;
}

struct Span {
  const uint8_t* data;
  size_t length;
};

/** A stretch of a file, and its checksum if that is known. */
struct Part {
  Span span;
  bool summed;
  uint32_t sum;
};

/** A file that is being written, from its beginning to its end. */
class File {
 public:
  ~File() {
    if (file_ >= 0) close(file_);
  }

  Failure Open(const std::string& path) {
    path_ = path;
    file_ = OpenDirect(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC);
    return file_ < 0 ? Failed("open") : Failure{};
  }

  /** Appends a part. It stays where it is until `Flush`. */
  Failure Write(Part& part) {
    if (!part.summed) part.sum = checksum::Crc32(part.span.data, part.span.length);
    return Append(part.span.data, part.span.length);
  }

  /** Writes the whole blocks of the run and holds what is left of it. */
  Failure Flush() {
    const Span run = std::exchange(run_, Span{nullptr, 0});
    const size_t whole = run.length / kBlock * kBlock;
    if (whole > 0)
      if (const Failure failure = Put(run.data, whole); failure.error != 0) return failure;
    if (run.length > whole) {
      std::memcpy(bounce_.data(), run.data + whole, run.length - whole);
      held_ = run.length - whole;
    }
    return {};
  }

  /**
   * Writes what is behind the last whole block, through the page cache: to write the block whole and to cut it off would make the file system read it, and write it again. It is
   * on its way then, so that one note of the file system serves all files that are synced next. Nothing comes behind it.
   */
  Failure End() {
    if (held_ == 0) return {};
    const int flags = fcntl(file_, F_GETFL);
    if (flags < 0 || ((flags & O_DIRECT) != 0 && fcntl(file_, F_SETFL, flags & ~O_DIRECT) != 0)) return Failed("fcntl");
    const size_t held = std::exchange(held_, 0);
    if (const Failure failure = Put(bounce_.data(), held); failure.error != 0) return failure;
    // A hint: what it cannot do is left to the sync.
    sync_file_range(file_, 0, 0, SYNC_FILE_RANGE_WRITE);
    return {};
  }

  /** Everything is on the disk. */
  Failure Sync() { return fsync(file_) != 0 ? Failed("fsync") : Failure{}; }

  Failure Close() {
    const int file = std::exchange(file_, -1);
    return file >= 0 && close(file) != 0 ? Failed("close") : Failure{};
  }

 private:
  std::string path_;
  /** Memory that continues what is held, to be written from where it lies. */
  Span run_{nullptr, 0};
  /** Bytes of the file that are written, whole blocks; then come those that are held in `bounce_`, then those of `run_`. */
  size_t written_ = 0, held_ = 0;
  Buffer bounce_{kBounce};
  int file_ = -1;

  Failure Failed(const char* call) const { return {errno, call, path_}; }

  Failure Append(const uint8_t* data, size_t length) {
    if (bounce_.data() == nullptr) return {ENOMEM, "mmap", path_};
    while (length > 0) {
      if (run_.length > 0 && (run_.data + run_.length != data || run_.length >= kWrite))
        if (const Failure failure = Flush(); failure.error != 0) return failure;
      // As the file lies: all but the edges goes straight from here.
      const bool lies = (reinterpret_cast<uintptr_t>(data) - (written_ + held_ + run_.length)) % kBlock == 0;
      if (run_.length > 0 || (lies && held_ == 0)) {
        if (run_.length == 0) run_.data = data;
        const size_t taken = std::min(length, kWrite - run_.length);
        run_.length += taken;
        data += taken, length -= taken;
      } else {
        const size_t room = lies ? kBlock - held_ % kBlock : kBounce - held_;
        const size_t taken = std::min(length, room);
        std::memcpy(bounce_.data() + held_, data, taken);
        held_ += taken;
        data += taken, length -= taken;
        if (held_ == kBounce || (lies && held_ % kBlock == 0)) {
          if (const Failure failure = Put(bounce_.data(), held_); failure.error != 0) return failure;
          held_ = 0;
        }
      }
    }
    return {};
  }

  Failure Put(const uint8_t* data, size_t length) {
    while (length > 0) {
      const ssize_t wrote = pwrite(file_, data, length, static_cast<off_t>(written_));
      if (wrote < 0) {
        if (errno == EINTR || WithoutDirect(file_)) continue;
        return Failed("write");
      }
      if (wrote == 0) return {EIO, "write", path_};
      data += wrote, length -= wrote, written_ += wrote;
    }
    return {};
  }
};

/** Files of a directory, which are written together. */
class Files {
 public:
  /** Makes the directory where there is none. */
  Failure Create(const std::string& directory, const std::vector<std::string>& names) {
    if (mkdir(directory.c_str(), 0777) != 0 && errno != EEXIST) {
      // Not with all above it at once: that would tell a read-only disk as a missing directory.
      if (errno != ENOENT) return {errno, "mkdir"};
      std::error_code error;
      std::filesystem::create_directories(directory, error);
      if (error) return {error.value(), "mkdir"};
    }
    for (const std::string& name : names) {
      files_.push_back(std::make_unique<File>());
      if (const Failure failure = files_.back()->Open(directory + "/" + name); failure.error != 0) return failure;
    }
    return {};
  }

  /** Appends parts, `counts` of them to each file. */
  Failure Write(const std::vector<size_t>& counts, std::vector<Part>& parts) {
    size_t next = 0;
    for (size_t i = 0; i < files_.size(); i++) {
      for (const size_t end = next + counts[i]; next < end; next++)
        if (const Failure failure = files_[i]->Write(parts[next]); failure.error != 0) return failure;
      if (const Failure failure = files_[i]->Flush(); failure.error != 0) return failure;
    }
    return {};
  }

  /** All are written to their ends before the first is synced: the file system notes all of them at once. */
  Failure Sync() {
    for (const auto& file : files_)
      if (const Failure failure = file->End(); failure.error != 0) return failure;
    for (const auto& file : files_)
      if (const Failure failure = file->Sync(); failure.error != 0) return failure;
    return {};
  }

  /** @returns the first failure; all are closed */
  Failure Close() {
    Failure first;
    for (const auto& file : files_)
      if (const Failure failure = file->Close(); failure.error != 0 && first.error == 0) first = failure;
    return first;
  }

  size_t size() const { return files_.size(); }

 private:
  std::vector<std::unique_ptr<File>> files_;
};

/** A file that is read back: its parts, one after the other. */
struct Written {
  std::string path;
  std::vector<size_t> lengths;
  std::vector<uint32_t> sums;
};

/** Checksums of the parts that the file has whole, and one more if it goes on behind them. */
Failure SumUp(Written& written, const Buffer& buffer) {
  const std::vector<size_t>& lengths = written.lengths;
  const int file = OpenDirect(written.path.c_str(), O_RDONLY);
  if (file < 0) return {errno, "open", written.path};
  Failure failure;
  bool rest = false;
  // One block more than the parts have tells whether the file goes on.
  const size_t whole = std::accumulate(lengths.begin(), lengths.end(), size_t{0});
  const size_t piece = std::min(kRead, (whole / kBlock + 1) * kBlock);
  size_t part = 0, left = lengths.empty() ? 0 : lengths[0];
  uint32_t sum = 0;
  const auto endParts = [&] {
    while (left == 0 && part < lengths.size()) {
      written.sums.push_back(sum);
      sum = 0;
      left = ++part < lengths.size() ? lengths[part] : 0;
    }
  };
  endParts();
  for (off_t position = 0; failure.error == 0;) {
    const ssize_t got = pread(file, buffer.data(), piece, position);
    if (got < 0) {
      if (errno != EINTR && !WithoutDirect(file)) failure = {errno, "read", written.path};
      continue;
    }
    if (got == 0) break;
    for (size_t at = 0; at < static_cast<size_t>(got) && !rest;) {
      const size_t length = std::min(left, got - at);
      if (length == 0) rest = true;
      sum = checksum::Crc32(buffer.data() + at, length, sum);
      at += length;
      left -= length;
      endParts();
    }
    if (rest || got % kBlock != 0) break;
    position += got;
  }
  close(file);
  if (rest) written.sums.push_back(0);
  return failure;
}

// ---------------------------------------------------------------- from Node

/** Work on another thread, and the promise that it settles. */
struct Task {
  napi_async_work work = nullptr;
  napi_deferred deferred = nullptr;
  std::function<Failure()> run;
  Failure failure;
  /** What the work reads stays where it is until it is done. */
  napi_ref kept = nullptr;
  /** What is told of it. */
  std::function<napi_value(napi_env)> result;
};

napi_value ErrorOf(napi_env env, const Failure& failure) {
  napi_value error, message, number;
  napi_create_string_utf8(env, failure.call, NAPI_AUTO_LENGTH, &message);
  napi_create_error(env, nullptr, message, &error);
  napi_create_int32(env, failure.error, &number);
  napi_set_named_property(env, error, "errno", number);
  napi_set_named_property(env, error, "syscall", message);
  if (!failure.path.empty()) {
    napi_value path;
    napi_create_string_utf8(env, failure.path.c_str(), failure.path.size(), &path);
    napi_set_named_property(env, error, "path", path);
  }
  return error;
}

napi_value Start(napi_env env, std::unique_ptr<Task> task) {
  napi_value promise, name;
  napi_create_promise(env, &task->deferred, &promise);
  napi_create_string_utf8(env, "lapidary:disk", NAPI_AUTO_LENGTH, &name);
  const auto execute = [](napi_env, void* data) {
    Task& running = *static_cast<Task*>(data);
    running.failure = running.run();
  };
  const auto complete = [](napi_env env, napi_status, void* data) {
    const std::unique_ptr<Task> done(static_cast<Task*>(data));
    if (done->kept != nullptr) napi_delete_reference(env, done->kept);
    napi_delete_async_work(env, done->work);
    if (done->failure.error != 0) napi_reject_deferred(env, done->deferred, ErrorOf(env, done->failure));
    else napi_resolve_deferred(env, done->deferred, done->result(env));
  };
  napi_create_async_work(env, nullptr, name, execute, complete, task.get(), &task->work);
  napi_queue_async_work(env, task.release()->work);
  return promise;
}

std::shared_ptr<Files> FilesOf(napi_env env, napi_value value) {
  void* data = nullptr;
  return napi_get_value_external(env, value, &data) == napi_ok ? *static_cast<std::shared_ptr<Files>*>(data) : nullptr;
}

napi_value Undefined(napi_env env) {
  napi_value value;
  napi_get_undefined(env, &value);
  return value;
}

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

/** A list of checksums. */
napi_value SumsOf(napi_env env, const std::vector<uint32_t>& sums) {
  napi_value list, sum;
  napi_create_array_with_length(env, sums.size(), &list);
  for (size_t i = 0; i < sums.size(); i++) {
    napi_create_uint32(env, sums[i], &sum);
    napi_set_element(env, list, static_cast<uint32_t>(i), sum);
  }
  return list;
}

/** create(directory, names: string[]) → Promise of files, empty. They are closed if one of them cannot be made. */
napi_value Create(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  auto task = std::make_unique<Task>();
  auto files = std::make_shared<Files>();
  std::vector<std::string> names;
  for (uint32_t i = 0; i < LengthOf(env, args[1]); i++) names.push_back(Text(env, Element(env, args[1], i)));
  task->run = [files, directory = Text(env, args[0]), names] { return files->Create(directory, names); };
  task->result = [files](napi_env of) {
    napi_value value;
    napi_create_external(
        of, new std::shared_ptr<Files>(files), [](napi_env, void* data, void*) { delete static_cast<std::shared_ptr<Files>*>(data); }, nullptr, &value);
    return value;
  };
  return Start(env, std::move(task));
}

/**
 * write(files, counts: number[], bytes: Uint8Array[], sums: (number | undefined)[]) → Promise of the checksums of all parts: `counts` of them go to each file, in the
 * order of their making. Checksums that are known are taken as they are.
 */
napi_value Write(napi_env env, napi_callback_info info) {
  napi_value args[4];
  if (!Arguments(env, info, args)) return nullptr;
  auto task = std::make_unique<Task>();
  const std::shared_ptr<Files> files = FilesOf(env, args[0]);
  std::vector<size_t> counts;
  size_t count = 0;
  for (uint32_t i = 0; i < LengthOf(env, args[1]); i++) count += counts.emplace_back(static_cast<size_t>(Int(env, Element(env, args[1], i))));
  auto parts = std::make_shared<std::vector<Part>>(LengthOf(env, args[2]));
  for (uint32_t i = 0; i < parts->size(); i++) {
    Part& part = (*parts)[i];
    void* data = nullptr;
    if (napi_get_typedarray_info(env, Element(env, args[2], i), nullptr, &part.span.length, &data, nullptr, nullptr) != napi_ok) return nullptr;
    part.span.data = static_cast<const uint8_t*>(data);
    part.summed = napi_get_value_uint32(env, Element(env, args[3], i), &part.sum) == napi_ok;
  }
  if (files == nullptr || counts.size() != files->size() || count != parts->size()) {
    napi_throw_error(env, nullptr, "parts for each file");
    return nullptr;
  }
  // The list keeps its parts, and they their memory.
  napi_create_reference(env, args[2], 1, &task->kept);
  task->run = [files, counts, parts] { return files->Write(counts, *parts); };
  task->result = [parts](napi_env of) {
    std::vector<uint32_t> sums;
    for (const Part& part : *parts) sums.push_back(part.sum);
    return SumsOf(of, sums);
  };
  return Start(env, std::move(task));
}

/** A promise of work that tells nothing. */
napi_value Settle(napi_env env, std::function<Failure()> work) {
  auto task = std::make_unique<Task>();
  task->run = std::move(work);
  task->result = Undefined;
  return Start(env, std::move(task));
}

/** sync(files) → Promise. */
napi_value Sync(napi_env env, napi_callback_info info) {
  napi_value args[1];
  if (!Arguments(env, info, args)) return nullptr;
  return Settle(env, [files = FilesOf(env, args[0])] { return files->Sync(); });
}

/** close(files), at once: of files that were synced there is nothing left to wait for. */
napi_value Close(napi_env env, napi_callback_info info) {
  napi_value args[1];
  if (!Arguments(env, info, args)) return nullptr;
  if (const Failure failure = FilesOf(env, args[0])->Close(); failure.error != 0) napi_throw(env, ErrorOf(env, failure));
  return Undefined(env);
}

Failure SyncDirectory(const std::string& path) {
  const int directory = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return {errno, "open"};
  const Failure failure = fsync(directory) != 0 ? Failure{errno, "fsync"} : Failure{};
  close(directory);
  return failure;
}

/** A file, or a directory with all in it; nothing if it is not there. */
Failure Remove(const std::string& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  return {error.value(), "unlink"};
}

/** What is done to a path, as one piece of work: `name(path)` → Promise. */
template <Failure (*work)(const std::string&)>
napi_value OnPath(napi_env env, napi_callback_info info) {
  napi_value args[1];
  if (!Arguments(env, info, args)) return nullptr;
  return Settle(env, [path = Text(env, args[0])] { return work(path); });
}

/** checksums(paths: string[], lengths: number[][]) → Promise of those of each file: one for each part that it has, and one more if it goes on behind them. */
napi_value Checksums(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  auto task = std::make_unique<Task>();
  auto files = std::make_shared<std::vector<Written>>(LengthOf(env, args[0]));
  for (uint32_t i = 0; i < files->size(); i++) {
    (*files)[i].path = Text(env, Element(env, args[0], i));
    const napi_value lengths = Element(env, args[1], i);
    for (uint32_t j = 0; j < LengthOf(env, lengths); j++) (*files)[i].lengths.push_back(static_cast<size_t>(Int(env, Element(env, lengths, j))));
  }
  task->run = [files] {
    static std::mutex mutex;
    static std::unique_ptr<Buffer> spare;
    std::unique_ptr<Buffer> buffer;
    {
      std::lock_guard<std::mutex> lock(mutex);
      buffer = std::move(spare);
    }
    // Fresh memory costs as much as to read a file that is small.
    if (buffer == nullptr) buffer = std::make_unique<Buffer>(kRead);
    if (buffer->data() == nullptr) return Failure{ENOMEM, "mmap"};
    Failure failure;
    for (size_t i = 0; i < files->size() && failure.error == 0; i++) failure = SumUp((*files)[i], *buffer);
    std::lock_guard<std::mutex> lock(mutex);
    spare = std::move(buffer);
    return failure;
  };
  task->result = [files](napi_env of) {
    napi_value list;
    napi_create_array_with_length(of, files->size(), &list);
    for (uint32_t i = 0; i < files->size(); i++) napi_set_element(of, list, i, SumsOf(of, (*files)[i].sums));
    return list;
  };
  return Start(env, std::move(task));
}

/** onLargePages(bytes) → Promise: memory that was shared lies on large pages from then on, where the system gives any. What is in it stays. */
napi_value OnLargePages(napi_env env, napi_callback_info info) {
  napi_value args[1];
  void* data = nullptr;
  size_t length = 0;
  if (!Arguments(env, info, args) || napi_get_typedarray_info(env, args[0], nullptr, &length, &data, nullptr, nullptr) != napi_ok) return nullptr;
  auto task = std::make_unique<Task>();
  napi_create_reference(env, args[0], 1, &task->kept);
  task->run = [data, length] {
    mapping::OnLargePages(data, length);
    return Failure{};
  };
  task->result = Undefined;
  return Start(env, std::move(task));
}

/** crc32(bytes, seed) → number, at once. */
napi_value Crc(napi_env env, napi_callback_info info) {
  napi_value args[2], value;
  void* data = nullptr;
  size_t length = 0;
  uint32_t seed = 0;
  if (!Arguments(env, info, args) || napi_get_typedarray_info(env, args[0], nullptr, &length, &data, nullptr, nullptr) != napi_ok) return nullptr;
  napi_get_value_uint32(env, args[1], &seed);
  napi_create_uint32(env, checksum::Crc32(data, length, seed), &value);
  return value;
}

}  // namespace

NAPI_MODULE_INIT() {
  const struct {
    const char* name;
    napi_callback call;
  } functions[] = {
      {"create", Create},
      {"write", Write},
      {"sync", Sync},
      {"close", Close},
      {"checksums", Checksums},
      {"syncDirectory", OnPath<SyncDirectory>},
      {"remove", OnPath<Remove>},
      {"crc32", Crc},
      {"onLargePages", OnLargePages},
      {"share", mapping::Share},
  };
  for (const auto& [name, call] : functions) {
    napi_value function;
    napi_create_function(env, name, NAPI_AUTO_LENGTH, call, nullptr, &function);
    napi_set_named_property(env, exports, name, function);
  }
  return exports;
}

#else

/** Elsewhere Node writes. */
NAPI_MODULE_INIT() { return exports; }

#endif
