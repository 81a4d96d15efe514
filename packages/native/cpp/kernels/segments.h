// Parts of a whole array, and the numbers by which Node describes them: elements of a Float64Array,
// lists with their length in front. The encoders are in src/ of this package.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

/**
 * The elements that a part has of a whole array: segments of one length, at a stride for each outer
 * dim. The unit is an element or a byte, as the user of the type documents.
 */
struct Segments {
  std::vector<int64_t> bases;  // the first element of each part
  std::vector<int64_t> counts, strides;
  int64_t length = 1;
};

/** Calls `work` with the position of every segment in the whole, in the order of the part. */
template <typename Work>
inline void ForEachSegment(const Segments& segments, int64_t base, Work work) {
  std::vector<int64_t> index(segments.counts.size(), 0);
  int64_t at = base;
  for (;;) {
    work(at);
    int64_t d = static_cast<int64_t>(segments.counts.size()) - 1;
    for (; d >= 0; d--) {
      at += segments.strides[d];
      if (++index[d] < segments.counts[d]) break;
      index[d] = 0;
      at -= segments.strides[d] * segments.counts[d];
    }
    if (d < 0) return;
  }
}

/** Reads numbers one by one. Past the end it reads 0; `at` then exceeds the number of numbers. */
struct NumberReader {
  const std::vector<int64_t>& data;
  size_t at = 0;
  int64_t Next() { return at < data.size() ? data[at++] : (at++, 0); }
  std::vector<int64_t> List() {
    std::vector<int64_t> list;
    for (int64_t i = Next(); i > 0 && at < data.size(); i--) list.push_back(Next());
    return list;
  }
  Segments ReadSegments() {
    Segments segments;
    segments.bases = List();
    segments.counts = List();
    segments.strides = List();
    segments.length = Next();
    return segments;
  }
};
