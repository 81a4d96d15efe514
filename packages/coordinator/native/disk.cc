// Files of checkpoints, written past the page cache: the bytes go from memory to the disk, and come back from the disk itself when they are checked. It costs a
// tenth of the processor time of ordinary writes, and reading back proves something: through the page cache one reads one's own memory.
//
//     memory      │ part │ part │ …        summed up (crc32) and written, 4 MiB at a time, straight from where it lies, if it lies as the file does
//     file        │ blocks of 4 KiB │ …    the last block is written whole, and cut off behind
//
// Where a file system knows no such writes (tmpfs), ordinary ones do. All of it happens on Node's threads for work, none of it on its main thread.
// A module of its own, that needs no TensorFlow: the coordinator loads it.
#include <node_api.h>

#include "../../worker/native/arguments.h"
#include "../../worker/native/checksum.h"
#include "../../worker/native/mapping.h"

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
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace {

constexpr size_t kBlock = 4096;
/** A call writes at most this. */
constexpr size_t kWrite = size_t{4} << 20;
/** It is summed up in pieces that stay in the cache while the kernel takes them. */
constexpr size_t kBounce = size_t{1} << 20;

/** A system call that failed. */
struct Failure {
  int error = 0;
  const char* call = "";
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

/** A file that is being written, from its beginning to its end. */
class File {
 public:
  ~File() {
    if (file_ >= 0) close(file_);
  }

  Failure Open(const std::string& path) {
    file_ = OpenDirect(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC);
    return file_ < 0 ? Failure{errno, "open"} : Failure{};
  }

  /** Appends spans, which have a checksum each. */
  Failure Write(const std::vector<Span>& spans, std::vector<uint32_t>& sums) {
    for (const Span& span : spans) {
      uint32_t sum = 0;
      for (size_t at = 0; at < span.length;) {
        const uint8_t* data = span.data + at;
        const size_t left = span.length - at;
        const size_t length = std::min(left, kBounce);
        sum = checksum::Crc32(data, length, sum);
        if (const Failure failure = Append(data, length); failure.error != 0) return failure;
        at += length;
      }
      sums.push_back(sum);
    }
    return {};
  }

  /** Everything is on the disk. */
  Failure Sync() {
    if (const Failure failure = Flush(); failure.error != 0) return failure;
    const size_t size = written_ + held_;
    if (held_ > 0) {
      std::memset(bounce_.data() + held_, 0, kBlock);
      const size_t whole = (held_ + kBlock - 1) / kBlock * kBlock;
      if (const Failure failure = Put(bounce_.data(), whole); failure.error != 0) return failure;
      written_ = size;
      held_ = 0;
    }
    if (ftruncate(file_, static_cast<off_t>(size)) != 0) return {errno, "ftruncate"};
    return fsync(file_) != 0 ? Failure{errno, "fsync"} : Failure{};
  }

  Failure Close() {
    const int file = std::exchange(file_, -1);
    return file >= 0 && close(file) != 0 ? Failure{errno, "close"} : Failure{};
  }

 private:
  /** Memory that continues what is held, to be written from where it lies. */
  Span run_{nullptr, 0};
  /** Bytes of the file that are written, whole blocks; then come those that are held in `bounce_`, then those of `run_`. */
  size_t written_ = 0, held_ = 0;
  Buffer bounce_{kBounce + kBlock};
  int file_ = -1;

  Failure Append(const uint8_t* data, size_t length) {
    if (bounce_.data() == nullptr) return {ENOMEM, "mmap"};
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

  Failure Put(const uint8_t* data, size_t length) {
    while (length > 0) {
      const ssize_t wrote = pwrite(file_, data, length, static_cast<off_t>(written_));
      if (wrote < 0) {
        if (errno == EINTR || WithoutDirect(file_)) continue;
        return {errno, "write"};
      }
      if (wrote == 0) return {EIO, "write"};
      data += wrote, length -= wrote, written_ += wrote;
    }
    return {};
  }
};

/** Checksums of stretches of a file that follow one another; of those alone that the file has. `rest` tells whether it goes on behind them. */
Failure SumUp(const std::string& path, const std::vector<size_t>& lengths, std::vector<uint32_t>& sums, bool& rest) {
  const int file = OpenDirect(path.c_str(), O_RDONLY);
  struct stat status;
  if (file < 0) return {errno, "open"};
  // One block more than the file has: a read that fills the buffer does not tell its end.
  const size_t size = fstat(file, &status) == 0 ? std::min(kRead, (static_cast<size_t>(status.st_size) / kBlock + 1) * kBlock) : kRead;
  Buffer buffer(size);
  Failure failure = buffer.data() == nullptr ? Failure{ENOMEM, "mmap"} : Failure{};
  size_t part = 0, left = lengths.empty() ? 0 : lengths[0];
  uint32_t sum = 0;
  const auto endParts = [&] {
    while (left == 0 && part < lengths.size()) {
      sums.push_back(sum);
      sum = 0;
      left = ++part < lengths.size() ? lengths[part] : 0;
    }
  };
  endParts();
  for (off_t position = 0; failure.error == 0;) {
    const ssize_t got = pread(file, buffer.data(), size, position);
    if (got < 0) {
      if (errno != EINTR && !WithoutDirect(file)) failure = {errno, "read"};
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
  return failure;
}

// ---------------------------------------------------------------- from Node

/** Work on another thread, and the promise that it settles. */
struct Task {
  napi_async_work work = nullptr;
  napi_deferred deferred = nullptr;
  std::function<Failure(Task&)> run;
  Failure failure;
  std::vector<uint32_t> sums;
  /** What the work reads stays where it is until it is done. */
  std::vector<napi_ref> kept;
  /** How it is told, if not by its checksums. */
  std::function<napi_value(napi_env)> result;
};

napi_value ErrorOf(napi_env env, const Failure& failure) {
  napi_value error, message, number;
  napi_create_string_utf8(env, failure.call, NAPI_AUTO_LENGTH, &message);
  napi_create_error(env, nullptr, message, &error);
  napi_create_int32(env, failure.error, &number);
  napi_set_named_property(env, error, "errno", number);
  napi_set_named_property(env, error, "syscall", message);
  return error;
}

napi_value Start(napi_env env, std::unique_ptr<Task> task) {
  napi_value promise, name;
  napi_create_promise(env, &task->deferred, &promise);
  napi_create_string_utf8(env, "lapidary:disk", NAPI_AUTO_LENGTH, &name);
  const auto execute = [](napi_env, void* data) {
    Task& running = *static_cast<Task*>(data);
    running.failure = running.run(running);
  };
  const auto complete = [](napi_env env, napi_status, void* data) {
    std::unique_ptr<Task> done(static_cast<Task*>(data));
    for (napi_ref ref : done->kept) napi_delete_reference(env, ref);
    napi_delete_async_work(env, done->work);
    napi_value value;
    if (done->failure.error != 0) {
      napi_reject_deferred(env, done->deferred, ErrorOf(env, done->failure));
      return;
    }
    if (done->result) value = done->result(env);
    else {
      napi_create_array_with_length(env, done->sums.size(), &value);
      for (size_t i = 0; i < done->sums.size(); i++) {
        napi_value sum;
        napi_create_uint32(env, done->sums[i], &sum);
        napi_set_element(env, value, static_cast<uint32_t>(i), sum);
      }
    }
    napi_resolve_deferred(env, done->deferred, value);
  };
  napi_create_async_work(env, nullptr, name, execute, complete, task.get(), &task->work);
  napi_queue_async_work(env, task.release()->work);
  return promise;
}

std::shared_ptr<File> FileOf(napi_env env, napi_value value) {
  void* data = nullptr;
  return napi_get_value_external(env, value, &data) == napi_ok ? *static_cast<std::shared_ptr<File>*>(data) : nullptr;
}

napi_value Undefined(napi_env env) {
  napi_value value;
  napi_get_undefined(env, &value);
  return value;
}

/** create(path) → Promise of a file, empty. */
napi_value Create(napi_env env, napi_callback_info info) {
  napi_value args[1];
  if (!Arguments(env, info, args)) return nullptr;
  auto task = std::make_unique<Task>();
  auto file = std::make_shared<File>();
  task->run = [file, path = Text(env, args[0])](Task&) { return file->Open(path); };
  task->result = [file](napi_env of) {
    napi_value value;
    napi_create_external(
        of, new std::shared_ptr<File>(file), [](napi_env, void* data, void*) { delete static_cast<std::shared_ptr<File>*>(data); }, nullptr, &value);
    return value;
  };
  return Start(env, std::move(task));
}

/** write(file, parts: Uint8Array[]) → Promise of their checksums. */
napi_value Write(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  auto task = std::make_unique<Task>();
  uint32_t count = 0;
  napi_get_array_length(env, args[1], &count);
  std::vector<Span> spans;
  for (uint32_t i = 0; i < count; i++) {
    napi_value part;
    void* data = nullptr;
    size_t length = 0;
    napi_get_element(env, args[1], i, &part);
    if (napi_get_typedarray_info(env, part, nullptr, &length, &data, nullptr, nullptr) != napi_ok) return nullptr;
    spans.push_back({static_cast<const uint8_t*>(data), length});
  }
  // The list keeps its parts, and they their memory.
  napi_ref kept;
  napi_create_reference(env, args[1], 1, &kept);
  task->kept.push_back(kept);
  task->run = [file = FileOf(env, args[0]), spans](Task& running) { return file->Write(spans, running.sums); };
  return Start(env, std::move(task));
}

/** A promise of work that tells nothing. */
napi_value Settle(napi_env env, std::function<Failure()> work) {
  auto task = std::make_unique<Task>();
  task->run = [work = std::move(work)](Task&) { return work(); };
  task->result = Undefined;
  return Start(env, std::move(task));
}

/** sync(file) → Promise. */
napi_value Sync(napi_env env, napi_callback_info info) {
  napi_value args[1];
  if (!Arguments(env, info, args)) return nullptr;
  return Settle(env, [file = FileOf(env, args[0])] { return file->Sync(); });
}

/** close(file), at once: of a file that was synced there is nothing left to wait for. */
napi_value Close(napi_env env, napi_callback_info info) {
  napi_value args[1];
  if (!Arguments(env, info, args)) return nullptr;
  if (const Failure failure = FileOf(env, args[0])->Close(); failure.error != 0) napi_throw(env, ErrorOf(env, failure));
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

/** checksums(path, lengths: number[]) → Promise of a checksum for each stretch that the file has, and one more if it goes on behind them. */
napi_value Checksums(napi_env env, napi_callback_info info) {
  napi_value args[2];
  if (!Arguments(env, info, args)) return nullptr;
  auto task = std::make_unique<Task>();
  uint32_t count = 0;
  napi_get_array_length(env, args[1], &count);
  std::vector<size_t> lengths;
  for (uint32_t i = 0; i < count; i++) {
    napi_value length;
    int64_t number = 0;
    napi_get_element(env, args[1], i, &length);
    napi_get_value_int64(env, length, &number);
    lengths.push_back(static_cast<size_t>(number));
  }
  task->run = [path = Text(env, args[0]), lengths](Task& running) {
    bool rest = false;
    const Failure failure = SumUp(path, lengths, running.sums, rest);
    if (rest) running.sums.push_back(0);
    return failure;
  };
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
