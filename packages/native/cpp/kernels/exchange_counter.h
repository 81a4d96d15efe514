// Counters in shared memory, on which a process can sleep.
#pragma once

#if defined(__linux__)

#include <atomic>
#include <cstdint>

namespace exchange {

/** A counter and the number of its sleepers, on a cache line of their own. */
struct alignas(64) Counter {
  std::atomic<uint32_t> value;
  std::atomic<uint32_t> waiting;
  /** The sender's checksum of the latest message for this reader. */
  uint32_t checksum;
};

/** Whether the counter has reached the target. Counters wrap around. */
inline bool HasReached(const Counter& counter, uint32_t target) {
  return static_cast<int32_t>(counter.value.load(std::memory_order_acquire) - target) >= 0;
}

/** Sleeps until the counter reaches the target. @returns false after `timeout_us` */
bool WaitFor(Counter& counter, uint32_t target, int64_t timeout_us);

/** Sets the counter and wakes its sleepers. */
void Advance(Counter& counter, uint32_t value);

}  // namespace exchange

#endif
