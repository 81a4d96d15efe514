// A decode step reads every weight once. With pages of 4 KiB, the processor looks up the address of
// each page again, because it remembers fewer addresses than the weights have pages.
#include "large_pages.h"

#include <sys/mman.h>

#include <mutex>
#include <unordered_set>

namespace large_pages {
namespace {

constexpr uintptr_t kLargePage = uintptr_t{2} << 20;

/** The pages of this process that were moved, by their number. */
struct Moved {
  std::mutex mutex;
  std::unordered_set<uintptr_t> pages;
};
Moved& MovedPages() {
  static Moved* moved = new Moved();
  return *moved;
}

/** A page that cannot be moved stays as it is: only the speed depends on it. */
void Move([[maybe_unused]] uintptr_t first, [[maybe_unused]] uintptr_t end) {
#if defined(__linux__)
  constexpr int collapse = 25;  // MADV_COLLAPSE; older headers lack it
  void* const begin = reinterpret_cast<void*>(first * kLargePage);
  madvise(begin, (end - first) * kLargePage, collapse);
#endif
}

}  // namespace

void Use(const void* data, int64_t bytes) {
  Moved& moved = MovedPages();
  const uintptr_t begin = reinterpret_cast<uintptr_t>(data);
  const uintptr_t end = (begin + static_cast<uintptr_t>(bytes) + kLargePage - 1) / kLargePage;
  std::lock_guard<std::mutex> lock(moved.mutex);
  // A call of the system takes long, so it moves neighbouring pages together.
  uintptr_t first = begin / kLargePage;
  for (uintptr_t page = first; page < end; page++) {
    if (moved.pages.insert(page).second) continue;
    if (first < page) Move(first, page);
    first = page + 1;
  }
  if (first < end) Move(first, end);
}

}  // namespace large_pages
