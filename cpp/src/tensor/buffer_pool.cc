#include "tensor/buffer_pool.h"

#include <pthread.h>

#include <algorithm>
#include <bit>
#include <new>

namespace pipeserve {
namespace {

constexpr std::align_val_t kAlignment{64};

// Class 2k holds blocks of 2^k bytes, class 2k+1 those of 1.5 * 2^k.
size_t ClassOf(size_t block_size) {
  const size_t exponent = std::bit_width(block_size) - 1;
  return 2 * (exponent % 32) + (std::has_single_bit(block_size) ? 0 : 1);
}

}  // namespace

BufferPool& BufferPool::Global() { return *Instance().load(std::memory_order_acquire); }

std::atomic<BufferPool*>& BufferPool::Instance() {
  // Never destroyed: buffers may outlive static objects.
  static auto* pool = [] {
    pthread_atfork(nullptr, nullptr, &BeginInChild);
    return new std::atomic<BufferPool*>(new BufferPool);
  }();
  return *pool;
}

// A thread that was in the old one has it locked for ever. Its free blocks are left there; those in
// use come back to the new one.
void BufferPool::BeginInChild() {
  auto* fresh = new BufferPool;
  fresh->live_bytes_.store(Global().live_bytes(), std::memory_order_relaxed);
  fresh->system_allocations_.store(Global().system_allocations(), std::memory_order_relaxed);
  Instance().store(fresh, std::memory_order_release);
}

BufferPool::~BufferPool() {
  for (SizeClass& size_class : classes_) {
    MutexLock lock(size_class.mutex);
    for (void* block : size_class.free) ::operator delete(block, kAlignment);
  }
}

size_t BufferPool::BlockSize(size_t size) {
  if (size <= kMinBlock) return kMinBlock;
  const size_t power = std::bit_ceil(size);
  const size_t between = power / 4 * 3;
  return size <= between ? between : power;
}

void* BufferPool::Allocate(size_t block_size) {
  live_bytes_.fetch_add(block_size, std::memory_order_relaxed);
  if (block_size <= kMaxPooled) {
    SizeClass& size_class = classes_[ClassOf(block_size)];
    MutexLock lock(size_class.mutex);
    if (!size_class.free.empty()) {
      void* block = size_class.free.back();
      size_class.free.pop_back();
      return block;
    }
  }
  system_allocations_.fetch_add(1, std::memory_order_relaxed);
  return ::operator new(block_size, kAlignment);
}

void BufferPool::Free(void* block, size_t block_size) {
  live_bytes_.fetch_sub(block_size, std::memory_order_relaxed);
  if (block_size <= kMaxPooled) {
    SizeClass& size_class = classes_[ClassOf(block_size)];
    MutexLock lock(size_class.mutex);
    const size_t kept = std::clamp<size_t>(kKeptBytesPerClass / block_size, 1, 1024);
    if (size_class.free.size() < kept) {
      size_class.free.push_back(block);
      return;
    }
  }
  ::operator delete(block, kAlignment);
}

size_t BufferPool::system_allocations() const {
  return system_allocations_.load(std::memory_order_relaxed);
}

}  // namespace pipeserve
