// What is known to have happened before what: of each stream, up to which of its tasks.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>

namespace pipeserve::ascend::sim {

using StreamId = uint32_t;
using Clock = std::map<StreamId, uint64_t>;

inline bool Covers(const Clock& clock, StreamId stream, uint64_t task) {
  const auto found = clock.find(stream);
  return task == 0 || (found != clock.end() && found->second >= task);
}

inline void Merge(Clock& into, const Clock& from) {
  for (const auto& [stream, task] : from) into[stream] = std::max(into[stream], task);
}

}  // namespace pipeserve::ascend::sim
