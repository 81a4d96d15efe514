#pragma once
// How a part lies in a whole, and how Node tells it: numbers of a Float64Array, lists with their length before them.
#include <cstddef>
#include <cstdint>
#include <vector>

/** How a part lies in a whole: runs of neighbours, at a stride for each outer dim. */
struct Cut {
  std::vector<int64_t> bases;  // by member
  std::vector<int64_t> sizes, strides;
  int64_t run = 1;
};

/** Calls `work` with the place of every run in the whole, in the order in which they follow one another in the part. */
template <typename Work>
inline void ForEachRun(const Cut& cut, int64_t base, Work work) {
  std::vector<int64_t> index(cut.sizes.size(), 0);
  int64_t at = base;
  for (;;) {
    work(at);
    int64_t d = static_cast<int64_t>(cut.sizes.size()) - 1;
    for (; d >= 0; d--) {
      at += cut.strides[d];
      if (++index[d] < cut.sizes[d]) break;
      index[d] = 0;
      at -= cut.strides[d] * cut.sizes[d];
    }
    if (d < 0) return;
  }
}

struct Reader {
  const std::vector<int64_t>& data;
  size_t at = 0;
  int64_t Next() { return at < data.size() ? data[at++] : (at++, 0); }
  std::vector<int64_t> List() {
    std::vector<int64_t> list;
    for (int64_t i = Next(); i > 0 && at < data.size(); i--) list.push_back(Next());
    return list;
  }
  Cut ReadCut() {
    Cut cut;
    cut.bases = List();
    cut.sizes = List();
    cut.strides = List();
    cut.run = Next();
    return cut;
  }
};
