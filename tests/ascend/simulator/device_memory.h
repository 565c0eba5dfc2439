// The memory of the simulated devices.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>

#include "block.h"

namespace pipeserve::ascend::sim {

// Mapped twice: callers get addresses that fault when they are touched, the simulator has its own
// view of the bytes. Beside each byte lies whether it was ever written. A freed block keeps its
// address for a while, so that a late use of it is found.
class DeviceMemory {
 public:
  DeviceMemory();

  // Null when `limit`, the memory of a device, does not suffice.
  std::shared_ptr<Block> Allocate(size_t size, int32_t device, size_t limit);
  void Free(const std::shared_ptr<Block>& block);
  void FreeAll();

  bool IsDeviceAddress(const void* address) const;
  // The block, live or freed, that `address` lies in or right behind.
  std::shared_ptr<Block> Find(const void* address) const;

  size_t used(int32_t device) const;
  size_t live() const { return live_.size(); }
  const std::map<const std::byte*, std::shared_ptr<Block>>& blocks() const { return live_; }

  std::byte* View(const void* address) const;
  bool IsWritten(const void* address, size_t bytes) const;
  void MarkWritten(const void* address, size_t bytes, bool written = true);

 private:
  // Where a range of `bytes` or somewhat more begins; the arena's size when there is none.
  size_t TakeRange(size_t& bytes);
  void Poison(const Block& block);

  std::byte* callers_ = nullptr;
  std::byte* own_ = nullptr;
  uint8_t* written_ = nullptr;
  size_t top_ = 0;                          // Never given out from here on.
  std::multimap<size_t, size_t> reusable_;  // Size and begin of ranges that may be given out again.
  std::map<const std::byte*, std::shared_ptr<Block>> live_;
  std::map<const std::byte*, std::shared_ptr<Block>> freed_;
  std::deque<std::shared_ptr<Block>> quarantine_;
  size_t quarantined_bytes_ = 0;
  std::map<int32_t, size_t> used_;
};

}  // namespace pipeserve::ascend::sim
