// Memory of files that were read once and are no longer needed.
//
// Loading TensorFlow's library reads 120 MB of relocation tables, and its registration code runs
// once. The pages stay mapped and count as memory of the process until the system needs them.
// Released pages are read from the page cache if they are needed again. The library does not need
// TensorFlow, because it works while TensorFlow is loaded.
#include <node_api.h>

#if defined(__linux__)

#include <malloc.h>
#include <sys/mman.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

namespace {

/**
 * Releases clean, read-only mappings of files, and free heap.
 *
 * @returns bytes of the released pages
 */
int64_t ReleaseMappings() {
  FILE* maps = fopen("/proc/self/smaps", "re");
  if (maps == nullptr) return 0;
  struct Range {
    uintptr_t begin, end;
    int64_t resident;
  };
  std::vector<Range> ranges;
  Range range{};
  bool candidate = false;
  char line[4352];
  while (fgets(line, sizeof line, maps) != nullptr) {
    uintptr_t begin, end;
    uint64_t inode;
    char mode[5];
    int64_t kilobytes;
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %*s %*s %" SCNu64, &begin, &end, mode,
               &inode) == 4) {
      // Private, readable, not writable, of a file: the pages have the file's contents, unless one
      // was written to before (`Anonymous`).
      candidate = inode != 0 && mode[0] == 'r' && mode[1] == '-' && mode[3] == 'p';
      range = {begin, end, 0};
    } else if (candidate && sscanf(line, "Rss: %" SCNd64 " kB", &kilobytes) == 1) {
      range.resident = kilobytes * 1024;
    } else if (candidate && sscanf(line, "Anonymous: %" SCNd64 " kB", &kilobytes) == 1) {
      if (kilobytes == 0 && range.resident > 0) ranges.push_back(range);
      candidate = false;
    }
  }
  fclose(maps);
  int64_t released = 0;
  for (const Range& each : ranges)
    if (madvise(reinterpret_cast<void*>(each.begin), each.end - each.begin, MADV_DONTNEED) == 0)
      released += each.resident;
#if defined(__GLIBC__)
  malloc_trim(0);
#endif
  return released;
}

/** releaseMappings() → bytes. */
napi_value Release(napi_env env, napi_callback_info) {
  napi_value value;
  napi_create_int64(env, ReleaseMappings(), &value);
  return value;
}

}  // namespace

#else

/** On other systems it releases no memory. */
napi_value Release(napi_env env, napi_callback_info) {
  napi_value value;
  napi_create_int64(env, 0, &value);
  return value;
}

#endif

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "releaseMappings", NAPI_AUTO_LENGTH, Release, nullptr, &function);
  napi_set_named_property(env, exports, "releaseMappings", function);
  return exports;
}
