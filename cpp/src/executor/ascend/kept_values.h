// Copies, on the device, of outputs that are to be inputs again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "executor/ascend/memory.h"

namespace pipeserve::ascend {

// A value is known by the number of CallContext::output_serials, and lasts until the host uses the
// value's place for something else, or its memory is wanted for newer ones. The bytes of a value
// are written and read by one stream, so its block may be given to another value at once; whoever
// enqueues work holds it until that is done.
class KeptValues {
 public:
  using BlockPtr = std::shared_ptr<const DeviceBlock>;

  // Holds at most `limit` bytes, besides what is being written.
  KeptValues(Device& device, size_t limit) : device_(device), limit_(limit) {}

  // Null when it is not there.
  BlockPtr Find(uint64_t serial, size_t bytes);

  // A block of `bytes` for a new value, which is told by Keep() once it is written; null when there
  // is no room. Errors: those of the runtime.
  Result<BlockPtr> MakeRoom(size_t bytes);
  // `place` is where the host has the value.
  void Keep(uint64_t serial, const std::byte* place, BlockPtr block);
  // The host writes something else to `place`.
  void Drop(const std::byte* place);
  // Of a group that has ended: its numbers may come again. No work may be in flight.
  void Clear();

 private:
  struct Value {
    BlockPtr block;
    const std::byte* place = nullptr;
    uint64_t last_use = 0;
  };
  using Values = std::map<uint64_t, Value>;

  size_t BytesHeld() const;
  BlockPtr TakeSpare(size_t bytes);
  void DropOldest();

  Device& device_;
  const size_t limit_;
  uint64_t uses_ = 0;
  Values values_;
  std::map<const std::byte*, uint64_t> places_;  // The serials of values_.
  std::vector<BlockPtr> spare_;                  // Of values that are gone.
};

}  // namespace pipeserve::ascend
