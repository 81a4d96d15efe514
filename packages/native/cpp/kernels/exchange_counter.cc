#include "exchange_counter.h"

#if defined(__linux__)

#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <climits>

namespace exchange {
namespace {

/** Checks of the counter before the first system call. */
constexpr int kSpins = 200;

constexpr int64_t kNanoseconds = 1'000'000'000;

int64_t Now_ns() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kNanoseconds + now.tv_nsec;
}

uint32_t* FutexOf(Counter& counter) { return reinterpret_cast<uint32_t*>(&counter.value); }

}  // namespace

bool WaitFor(Counter& counter, uint32_t target, int64_t timeout_us) {
  for (int i = 0; i < kSpins; i++) {
    if (HasReached(counter, target)) return true;
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
  }
  const int64_t deadline = Now_ns() + timeout_us * 1000;
  for (;;) {
    counter.waiting.fetch_add(1);
    const uint32_t seen = counter.value.load();
    if (static_cast<int32_t>(seen - target) >= 0) {
      counter.waiting.fetch_sub(1);
      return true;
    }
    const int64_t left = deadline - Now_ns();
    if (left > 0) {
      const timespec timeout = {static_cast<time_t>(left / kNanoseconds),
                                static_cast<long>(left % kNanoseconds)};
      syscall(SYS_futex, FutexOf(counter), FUTEX_WAIT, seen, &timeout, nullptr, 0);
    }
    counter.waiting.fetch_sub(1);
    if (HasReached(counter, target)) return true;
    if (left <= 0) return false;
  }
}

void Advance(Counter& counter, uint32_t value) {
  counter.value.store(value);
  if (counter.waiting.load() > 0)
    syscall(SYS_futex, FutexOf(counter), FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace exchange

#endif
