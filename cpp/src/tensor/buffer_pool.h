// Size-class free lists behind Buffer::Allocate, so that a steady stream of requests neither
// allocates nor faults pages.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <vector>

#include "base/mutex.h"

namespace pipeserve {

// Thread-safe. Blocks are 64-byte aligned. Sizes are powers of two and the halves between them;
// blocks over kMaxPooled go straight to the allocator.
class BufferPool {
 public:
  static constexpr size_t kMinBlock = 256;
  static constexpr size_t kMaxPooled = size_t{64} << 20;
  // What one size class may keep for later; the rest is given back.
  static constexpr size_t kKeptBytesPerClass = size_t{64} << 20;

  // That of this process: a forked one begins with an empty pool.
  static BufferPool& Global();

  ~BufferPool();

  // The size class that `size` bytes fall into.
  static size_t BlockSize(size_t size);

  // `block_size` comes from BlockSize().
  void* Allocate(size_t block_size);
  void Free(void* block, size_t block_size);

  // Bytes of the blocks that are in use.
  size_t live_bytes() const { return live_bytes_.load(std::memory_order_relaxed); }

  // Blocks that came from the system allocator since the start; steady when the pool is warm.
  size_t system_allocations() const;

 private:
  static std::atomic<BufferPool*>& Instance();
  static void BeginInChild();

  static constexpr size_t kClasses = 64;
  struct SizeClass {
    Mutex mutex;
    std::vector<void*> free GUARDED_BY(mutex);
  };

  std::array<SizeClass, kClasses> classes_;
  std::atomic<size_t> live_bytes_{0};
  std::atomic<size_t> system_allocations_{0};
};

}  // namespace pipeserve
