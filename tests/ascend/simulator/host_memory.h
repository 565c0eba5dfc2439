// Pinned host memory.
#pragma once

#include <map>
#include <memory>

#include "block.h"

namespace pipeserve::ascend::sim {

class HostMemory {
 public:
  // Null when there is no memory.
  std::shared_ptr<Block> Allocate(size_t size);
  // The bytes live on until the last task that uses them is gone.
  void Free(const std::shared_ptr<Block>& block);
  void FreeAll() { live_.clear(); }

  // The block that `address` lies in or right behind; null for pageable memory.
  std::shared_ptr<Block> Find(const void* address) const;

  size_t live() const { return live_.size(); }
  const std::map<const std::byte*, std::shared_ptr<Block>>& blocks() const { return live_; }

 private:
  std::map<const std::byte*, std::shared_ptr<Block>> live_;
};

}  // namespace pipeserve::ascend::sim
