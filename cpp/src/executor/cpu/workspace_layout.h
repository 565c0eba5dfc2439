// Hands out offsets of one workspace and takes them back, while a plan is made.
#pragma once

#include <cstddef>
#include <map>

namespace pipeserve {

// Ranges are aligned to a cache line. A value that is dead leaves its place to later ones.
class WorkspaceLayout {
 public:
  // `bytes` is at most kMaxBytes.
  size_t Take(size_t bytes);
  // Gives back what Take(bytes) returned.
  void Give(size_t offset, size_t bytes);

  // Bytes that the workspace must have.
  size_t size() const { return size_; }

  static constexpr size_t kMaxBytes = size_t{1} << 46;

 private:
  size_t size_ = 0;
  std::map<size_t, size_t> free_;  // Offset to bytes; neighbours are joined.
};

}  // namespace pipeserve
