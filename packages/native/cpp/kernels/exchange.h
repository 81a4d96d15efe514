// Messages between the workers of one machine, through memory that they share. The sender writes a
// message once, and all receivers read it there.
//
// Each worker has an outbox for each program: its own memory, which the other workers map. Its
// messages are in regions. The worker chooses the regions when it loads the program, so that two
// messages in flight never have the same region. A region counts its uses. All workers run the same
// program, so their counts agree.
//
//     outbox   │ control │ region 0 │ region 1 │ …
//     control  for each region: ready │ done by worker 0, checksum for it │ done by worker 1 … │
//
//     send use u      waits until the readers of use u-1 are done    writes, checksums    ready ← u
//     receive use u   waits until ready ≥ u on each sender           checksums, reads     done ← u
//
// The sender computes a checksum of a message for each reader: CRC-32, continued from the number of
// the use. Each reader computes it again while it reads. A flipped bit, a message of another use,
// or a message that is overwritten while it is read, is an error of the step. Both compute it piece
// by piece, while the first-level cache has the piece.
//
// A wait sleeps in the kernel (futex) for a bounded time and then returns to the caller, which
// serves its event loop and calls again. The channel of a peer reports its loss, never this code.
#pragma once

#if defined(__linux__)

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "exchange_counter.h"
#include "segments.h"

namespace exchange {

/** A mapped outbox. */
struct Outbox {
  char* data = nullptr;
  int64_t bytes = 0;
  int file = -1;
  Outbox() = default;
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;
  ~Outbox() {
    if (data != nullptr) munmap(data, bytes);
    if (file >= 0) close(file);
  }
};

struct Region {
  int64_t offset = 0;
  uint32_t uses = 0;
  /** Workers that read the latest use. */
  std::vector<int32_t> readers;
};

/** The memory that the workers of a program share. */
struct Space {
  int32_t self = 0, workers = 0;
  std::vector<std::unique_ptr<Outbox>> outboxes;  // by rank
  std::vector<Region> regions;

  Counter* Control(int32_t worker, int32_t region) const {
    return reinterpret_cast<Counter*>(outboxes[worker]->data) +
           static_cast<int64_t>(region) * (workers + 1);
  }
  Counter& Ready(int32_t worker, int32_t region) const { return Control(worker, region)[0]; }
  Counter& Done(int32_t worker, int32_t region, int32_t reader) const {
    return Control(worker, region)[1 + reader];
  }
  char* Data(int32_t worker, int32_t region) const {
    return outboxes[worker]->data + regions[region].offset;
  }
};

enum Reduction : int32_t { kJoin = 0, kSum = 1, kMax = 2, kMin = 3 };

/** One collective of a program. */
struct Exchange {
  std::shared_ptr<Space> space;
  int32_t region = 0, member = 0, reduction = kJoin;
  int64_t part = 0;  // elements
  std::vector<int32_t> group;
  /** Whether each member receives a part of an operand (`split`) instead of the whole operand. */
  bool splits = false;
  Segments split, join;
  std::vector<int64_t> dims;  // of the result
  /** The sender of a message with a wrong checksum, or -1. */
  std::atomic<int32_t> damaged_by{-1};
};

/** An exchange by its number; null if it does not exist. */
std::shared_ptr<Exchange> FindExchange(int64_t id);

}  // namespace exchange

#endif
