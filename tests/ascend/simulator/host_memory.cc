#include "host_memory.h"

#include <cstdlib>
#include <cstring>
#include <iterator>

namespace pipeserve::ascend::sim {

std::shared_ptr<Block> HostMemory::Allocate(size_t size) {
  constexpr size_t kAlignment = 64;
  constexpr int kPoison = 0xA5;
  void* const memory =
      std::aligned_alloc(kAlignment, (size + kAlignment - 1) / kAlignment * kAlignment);
  if (memory == nullptr) return nullptr;
  std::memset(memory, kPoison, size);
  auto block = std::make_shared<Block>();
  block->storage.reset(memory, &std::free);
  block->address = block->data = static_cast<std::byte*>(memory);
  block->size = size;
  block->origin = Origin::Here();
  live_[block->address] = block;
  return block;
}

void HostMemory::Free(const std::shared_ptr<Block>& block) {
  block->freed = true;
  live_.erase(block->address);
}

std::shared_ptr<Block> HostMemory::Find(const void* address) const {
  auto next = live_.upper_bound(static_cast<const std::byte*>(address));
  if (next == live_.begin()) return nullptr;
  const std::shared_ptr<Block>& block = std::prev(next)->second;
  return block->Holds(address, 0) ? block : nullptr;
}

}  // namespace pipeserve::ascend::sim
