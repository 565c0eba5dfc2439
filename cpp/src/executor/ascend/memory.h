// Memory of the device, and memory of the host that the device copies to and from by itself.
#pragma once

#include <cstddef>
#include <memory>
#include <utility>

#include "executor/ascend/device.h"
#include "pipeserve/status.h"

namespace pipeserve::ascend {

// A block that its owner gives back. Only when no work that uses it can be in flight any more: the
// runtime does not wait. On an abandoned device it stays.
template <typename Kind>
class Block {
 public:
  Block() = default;
  // `size` is at least 1. Errors: kResourceExhausted, those of the runtime.
  static Result<Block> Allocate(Device& device, size_t size) {
    Block block;
    PIPESERVE_RETURN_IF_ERROR(Kind::Allocate(device, &block.data_, size));
    block.device_ = &device;
    block.size_ = size;
    return block;
  }
  Block(Block&& other) noexcept { *this = std::move(other); }
  Block& operator=(Block&& other) noexcept {
    std::swap(device_, other.device_);
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Block() {
    if (data_ != nullptr && !device_->is_abandoned()) Kind::Free(*device_, data_);
  }

  std::byte* data() const { return static_cast<std::byte*>(data_); }
  size_t size() const { return size_; }

 private:
  Device* device_ = nullptr;
  void* data_ = nullptr;
  size_t size_ = 0;
};

struct DeviceKind {
  static Status Allocate(Device& device, void** data, size_t size) {
    return PIPESERVE_ACL(device, aclrtMalloc, data, size, abi::MallocPolicy::kHugeFirst);
  }
  static void Free(Device& device, void* data) {
    (void)PIPESERVE_ACL(device, aclrtFree, data);  // It shows in the device's health.
  }
};

struct PinnedKind {
  static Status Allocate(Device& device, void** data, size_t size) {
    return PIPESERVE_ACL(device, aclrtMallocHost, data, size);
  }
  static void Free(Device& device, void* data) { (void)PIPESERVE_ACL(device, aclrtFreeHost, data); }
};

using DeviceBlock = Block<DeviceKind>;  // Its address is for the device alone.
using PinnedBlock = Block<PinnedKind>;

}  // namespace pipeserve::ascend
