#include "block.h"

#include <functional>

namespace pipeserve::ascend::sim {

bool Block::Holds(const void* begin, size_t bytes) const {
  const auto* const first = static_cast<const std::byte*>(begin);
  return std::less_equal<>()(address, first) && std::less_equal<>()(first, address + size) &&
         bytes <= static_cast<size_t>(address + size - first);
}

void Block::Settle(const Clock& host) {
  std::erase_if(accesses, [&](const Access& each) { return Covers(host, each.stream, each.task); });
}

const Access* Block::FindConflict(const Access& access, const Clock& known) const {
  for (const Access& each : accesses) {
    if (each.stream == access.stream) continue;  // In order anyway.
    if (each.use == Use::kRead && access.use == Use::kRead) continue;
    if (each.end <= access.begin || access.end <= each.begin) continue;
    if (!Covers(known, each.stream, each.task)) return &each;
  }
  return nullptr;
}

// A later use by the same stream stands for the earlier ones.
void Block::Note(const Access& access) {
  for (Access& each : accesses) {
    if (each.begin == access.begin && each.end == access.end && each.use == access.use &&
        each.stream == access.stream) {
      each = access;
      return;
    }
  }
  accesses.push_back(access);
}

}  // namespace pipeserve::ascend::sim
