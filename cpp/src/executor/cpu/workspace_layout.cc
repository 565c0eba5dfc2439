#include "executor/cpu/workspace_layout.h"

#include <iterator>

namespace pipeserve {
namespace {

constexpr size_t kAlignment = 64;

size_t Rounded(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

size_t WorkspaceLayout::Take(size_t bytes) {
  bytes = Rounded(bytes);
  auto best = free_.end();
  for (auto it = free_.begin(); it != free_.end(); ++it) {
    if (it->second >= bytes && (best == free_.end() || it->second < best->second)) best = it;
  }
  if (best != free_.end()) {
    const auto [offset, room] = *best;
    free_.erase(best);
    if (room > bytes) free_[offset + bytes] = room - bytes;
    return offset;
  }
  // A free range at the end only has to grow.
  size_t offset = size_;
  if (!free_.empty()) {
    const auto last = std::prev(free_.end());
    if (last->first + last->second == size_) {
      offset = last->first;
      free_.erase(last);
    }
  }
  size_ = offset + bytes;
  return offset;
}

void WorkspaceLayout::Give(size_t offset, size_t bytes) {
  bytes = Rounded(bytes);
  if (bytes == 0) return;
  auto next = free_.lower_bound(offset);
  if (next != free_.end() && offset + bytes == next->first) {
    bytes += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    const auto before = std::prev(next);
    if (before->first + before->second == offset) {
      before->second += bytes;
      return;
    }
  }
  free_.emplace(offset, bytes);
}

}  // namespace pipeserve
