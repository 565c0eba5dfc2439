// A block of device memory or of pinned host memory, and who uses it.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "clock.h"
#include "origin.h"

namespace pipeserve::ascend::sim {

enum class Use { kRead, kWrite, kWorkspace };

// A task's use of some bytes.
struct Access {
  const std::byte* begin;
  const std::byte* end;
  Use use;
  StreamId stream;
  uint64_t task;
  const char* function;
};

struct Block {
  std::byte* address = nullptr;  // As callers see it.
  std::byte* data = nullptr;     // The same bytes as the simulator sees them.
  size_t size = 0;
  size_t range = 0;  // What it takes of the arena.
  int32_t device = 0;
  bool freed = false;
  Origin origin;
  Origin freed_at;
  std::vector<Access> accesses;   // Those that the host has not waited for.
  std::shared_ptr<void> storage;  // Of pinned memory.

  bool Holds(const void* begin, size_t bytes) const;

  // Forgets what the host has waited for.
  void Settle(const Clock& host);
  // An earlier access that `access`, which comes after all of `known`, does not come after.
  const Access* FindConflict(const Access& access, const Clock& known) const;
  void Note(const Access& access);
};

}  // namespace pipeserve::ascend::sim
