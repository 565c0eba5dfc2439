// Buffers in memory that the ranks of this host map, too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/shared_memory.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

// Thread-safe. What is free is known to this process alone, so no peer can confuse it.
class ShmHeap : public std::enable_shared_from_this<ShmHeap> {
 public:
  static constexpr size_t kAlignment = 64;

  // Errors: those of SharedMemory::Create().
  static Result<std::shared_ptr<ShmHeap>> Create(const std::string& name, size_t bytes);

  // Free bytes, which the buffer gives back with its last reference; the heap lives as long. Not
  // cleared. Errors: kResourceExhausted (no room for so many in one piece).
  Result<Buffer> Allocate(size_t bytes);

  // The number of a buffer that Allocate() of any heap gave, which no other buffer of this process
  // ever has; 0 for a part of one, and for somebody else's wrapping of the same bytes, who may
  // write to them.
  static uint64_t SerialOf(const Buffer& buffer);

  // Where bytes lie that are wholly in here.
  std::optional<size_t> OffsetOf(const void* data, size_t bytes) const;

  const SharedMemory& memory() const { return memory_; }
  size_t free_bytes() const;

 private:
  struct Range {
    size_t offset = 0;
    size_t bytes = 0;
  };

  explicit ShmHeap(SharedMemory memory);
  void Free(Range range);

  const SharedMemory memory_;
  mutable Mutex mutex_;
  std::vector<Range> free_ GUARDED_BY(mutex_);  // By offset; neighbours do not touch.
};

}  // namespace pipeserve
