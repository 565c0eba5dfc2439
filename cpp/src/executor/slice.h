// How a reduction is shared out: every member adds one slice for all.
#pragma once

#include <algorithm>
#include <cstddef>

namespace pipeserve {

// The `index`-th of `count` slices of `bytes` bytes, which end at cache lines.
struct Slice {
  size_t begin = 0, length = 0;

  Slice(size_t index, size_t count, size_t bytes) {
    constexpr size_t kLine = 64;
    const size_t each = (bytes / count + kLine - 1) / kLine * kLine;
    begin = std::min(bytes, index * each);
    length = index + 1 == count ? bytes - begin : std::min(bytes, begin + each) - begin;
  }
};

}  // namespace pipeserve
