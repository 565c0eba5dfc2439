#include "device_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

namespace pipeserve::ascend::sim {
namespace {

constexpr size_t kArena = size_t{8} << 30;
constexpr size_t kQuarantine = size_t{64} << 20;
constexpr size_t kPoisonedAtMost = size_t{1} << 20;
constexpr int kPoison = 0xA5;
// Blocks begin at odd multiples of 64: aligned as promised, and no better.
constexpr size_t kAlignment = 64;
constexpr size_t kStep = 2 * kAlignment;

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::abort();
}

std::byte* Map(int protection, int flags, int file) {
  void* const memory = mmap(nullptr, kArena, protection, flags | MAP_NORESERVE, file, 0);
  if (memory == MAP_FAILED) Die("the simulator's device memory");
  return static_cast<std::byte*>(memory);
}

// Room for a block that begins at an odd multiple and for a gap behind it.
size_t RangeOf(size_t size) { return (kAlignment + size + kStep + kStep - 1) / kStep * kStep; }

}  // namespace

DeviceMemory::DeviceMemory() {
  const int file = memfd_create("ascend_sim", MFD_CLOEXEC);
  if (file < 0 || ftruncate(file, kArena) != 0) Die("the simulator's device memory");
  own_ = Map(PROT_READ | PROT_WRITE, MAP_SHARED, file);
  callers_ = Map(PROT_NONE, MAP_SHARED, file);
  written_ =
      reinterpret_cast<uint8_t*>(Map(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1));
  close(file);
}

size_t DeviceMemory::TakeRange(size_t& bytes) {
  const auto found = reusable_.lower_bound(bytes);
  if (found != reusable_.end() && found->first <= 2 * bytes) {
    const size_t begin = found->second;
    bytes = found->first;
    reusable_.erase(found);
    return begin;
  }
  if (bytes > kArena - top_) return kArena;
  top_ += bytes;
  return top_ - bytes;
}

std::shared_ptr<Block> DeviceMemory::Allocate(size_t size, int32_t device, size_t limit) {
  if (size > limit || used_[device] > limit - size) return nullptr;
  size_t range = RangeOf(size);
  const size_t begin = TakeRange(range);
  if (begin == kArena) return nullptr;
  auto block = std::make_shared<Block>();
  block->address = callers_ + begin + kAlignment;
  block->data = own_ + begin + kAlignment;
  block->size = size;
  block->range = range;
  block->device = device;
  block->origin = Origin::Here();
  Poison(*block);
  used_[device] += size;
  live_[block->address] = block;
  return block;
}

void DeviceMemory::Poison(const Block& block) {
  std::memset(block.data, kPoison, std::min(block.size, kPoisonedAtMost));
  MarkWritten(block.address, block.size, false);
}

void DeviceMemory::Free(const std::shared_ptr<Block>& block) {
  block->freed = true;
  block->freed_at = Origin::Here();
  live_.erase(block->address);
  freed_[block->address] = block;
  used_[block->device] -= block->size;
  quarantine_.push_back(block);
  quarantined_bytes_ += block->size;
  while (quarantined_bytes_ > kQuarantine) {
    const std::shared_ptr<Block> oldest = quarantine_.front();
    quarantine_.pop_front();
    quarantined_bytes_ -= oldest->size;
    freed_.erase(oldest->address);
    reusable_.emplace(oldest->range, static_cast<size_t>(oldest->address - callers_) - kAlignment);
  }
}

void DeviceMemory::FreeAll() {
  while (!live_.empty()) Free(std::shared_ptr(live_.begin()->second));
}

bool DeviceMemory::IsDeviceAddress(const void* address) const {
  const auto* const at = static_cast<const std::byte*>(address);
  return std::less_equal<>()(callers_, at) && std::less<>()(at, callers_ + kArena);
}

std::shared_ptr<Block> DeviceMemory::Find(const void* address) const {
  const auto* const at = static_cast<const std::byte*>(address);
  for (const auto* blocks : {&live_, &freed_}) {
    auto next = blocks->upper_bound(at);
    if (next == blocks->begin()) continue;
    const std::shared_ptr<Block>& block = std::prev(next)->second;
    if (block->Holds(address, 0)) return block;
  }
  return nullptr;
}

size_t DeviceMemory::used(int32_t device) const {
  const auto found = used_.find(device);
  return found == used_.end() ? 0 : found->second;
}

std::byte* DeviceMemory::View(const void* address) const {
  return own_ + (static_cast<const std::byte*>(address) - callers_);
}

bool DeviceMemory::IsWritten(const void* address, size_t bytes) const {
  const uint8_t* const first = written_ + (static_cast<const std::byte*>(address) - callers_);
  return std::memchr(first, 0, bytes) == nullptr;
}

void DeviceMemory::MarkWritten(const void* address, size_t bytes, bool written) {
  std::memset(written_ + (static_cast<const std::byte*>(address) - callers_), written ? 1 : 0,
              bytes);
}

}  // namespace pipeserve::ascend::sim
