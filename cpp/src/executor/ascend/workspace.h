// The scratch memory that operators of one stream share: they run one after the other.
#pragma once

#include <cstddef>

#include "executor/ascend/memory.h"
#include "executor/ascend/stream.h"

namespace pipeserve::ascend {

class Workspace {
 public:
  Workspace(Device& device, Stream& stream, const WaitFor& wait)
      : device_(device), stream_(stream), wait_(wait) {}

  // At least `size` bytes; null for none. Waits for the stream when it has to grow.
  Result<std::byte*> Ensure(size_t size) {
    if (size > block_.size()) {
      PIPESERVE_RETURN_IF_ERROR(stream_.Synchronize(wait_));
      block_ = DeviceBlock();
      PIPESERVE_ASSIGN_OR_RETURN(block_, DeviceBlock::Allocate(device_, size));
    }
    return block_.data();
  }

  void Free() { block_ = DeviceBlock(); }

 private:
  Device& device_;
  Stream& stream_;
  const WaitFor& wait_;
  DeviceBlock block_;
};

}  // namespace pipeserve::ascend
