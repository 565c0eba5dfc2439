#include "agent/shm_heap.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

// A buffer carries its number as its owner, which whoever wraps it again hands on. The mark tells
// it from others' owners, which are addresses of a process; an odd one is an array's (bindings).
constexpr uint64_t kMark = uint64_t{1} << 63;

uint64_t NextSerial() {
  static std::atomic<uint64_t> last{0};
  return last.fetch_add(1, std::memory_order_relaxed) + 1;
}

void* OwnerOf(uint64_t serial) { return reinterpret_cast<void*>(kMark | serial << 1); }

}  // namespace

Result<std::shared_ptr<ShmHeap>> ShmHeap::Create(const std::string& name, size_t bytes) {
  PIPESERVE_ASSIGN_OR_RETURN(SharedMemory memory, SharedMemory::Create(name, bytes));
  return std::shared_ptr<ShmHeap>(new ShmHeap(std::move(memory)));
}

ShmHeap::ShmHeap(SharedMemory memory)
    : memory_(std::move(memory)), free_{{.offset = 0, .bytes = memory_.size()}} {}

Result<Buffer> ShmHeap::Allocate(size_t bytes) {
  if (bytes > memory_.size()) {
    return ResourceExhausted(
        StrCat("wanted ", bytes, " bytes of a shared area of ", memory_.size()));
  }
  // At least one unit, so that no two buffers begin at the same place.
  const size_t size = (std::max<size_t>(bytes, 1) + kAlignment - 1) / kAlignment * kAlignment;
  Range taken{.offset = 0, .bytes = size};
  {
    MutexLock lock(mutex_);
    const auto range = std::find_if(free_.begin(), free_.end(),
                                    [size](const Range& each) { return each.bytes >= size; });
    if (range == free_.end()) {
      return ResourceExhausted(StrCat("a shared area of ", memory_.size(), " bytes has no ", size,
                                      " free ones in one piece"));
    }
    taken.offset = range->offset;
    range->offset += size;
    range->bytes -= size;
    if (range->bytes == 0) free_.erase(range);
  }
  return Buffer::Wrap(
      memory_.data() + taken.offset, bytes,
      [self = shared_from_this(), taken] { self->Free(taken); }, OwnerOf(NextSerial()));
}

uint64_t ShmHeap::SerialOf(const Buffer& buffer) {
  const auto owner = reinterpret_cast<uint64_t>(buffer.owner());
  return (owner & kMark) == 0 ? 0 : (owner & ~kMark) >> 1;
}

void ShmHeap::Free(Range range) {
  MutexLock lock(mutex_);
  auto next = std::find_if(free_.begin(), free_.end(),
                           [&](const Range& each) { return each.offset > range.offset; });
  if (next != free_.end() && range.offset + range.bytes == next->offset) {
    range.bytes += next->bytes;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    Range& before = *std::prev(next);
    if (before.offset + before.bytes == range.offset) {
      before.bytes += range.bytes;
      return;
    }
  }
  free_.insert(next, range);
}

std::optional<size_t> ShmHeap::OffsetOf(const void* data, size_t bytes) const {
  const auto begin = reinterpret_cast<uintptr_t>(memory_.data());
  const auto address = reinterpret_cast<uintptr_t>(data);
  if (address < begin || address - begin > memory_.size()) return std::nullopt;
  const size_t offset = address - begin;
  if (bytes > memory_.size() - offset || offset % kAlignment != 0) return std::nullopt;
  return offset;
}

size_t ShmHeap::free_bytes() const {
  MutexLock lock(mutex_);
  size_t bytes = 0;
  for (const Range& range : free_) bytes += range.bytes;
  return bytes;
}

}  // namespace pipeserve
