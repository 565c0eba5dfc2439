// Device memory and pinned host memory.
#include "calls.h"
#include "memory_check.h"

namespace pipeserve::ascend::sim::calls {
namespace {

// What is wrong with the arguments of an allocation.
std::optional<Failure> CheckRequest(Call& call, const void* result, size_t size) {
  if (result == nullptr) {
    return call.Break("M1", codes::kInvalidParameter, Text(call.name(), " with a null pointer"));
  }
  if (size == 0) {
    return call.Break("M1", codes::kInvalidParameter, Text(call.name(), " of 0 bytes"));
  }
  return std::nullopt;
}

}  // namespace

AclCode aclrtMalloc(Call& call, void** device, size_t size, MallocPolicy policy) {
  if (const auto failure = CheckRequest(call, device, size)) return *failure;
  if (static_cast<int>(policy) < 0 || static_cast<int>(policy) > 5) {
    return call.Break("M1", codes::kInvalidParameter, "aclrtMalloc with no policy");
  }
  const std::shared_ptr<Block> block =
      call.core.device_memory.Allocate(size, call.context()->device, call.core.settings.memory);
  if (block == nullptr) {
    return call.Fail(codes::kOutOfMemory, Text("no ", size, " bytes are left on the device"));
  }
  *device = block->address;
  return AclCode::kSuccess;
}

AclCode aclrtFree(Call& call, void* device) {
  const std::shared_ptr<Block> block = FindDeviceMemory(call, "M1", "the block", device, 0);
  if (block == nullptr) return Failure{codes::kInvalidParameter};
  if (block->address != device) {
    return call.Break("M4", codes::kInvalidParameter, "aclrtFree of an address within a block");
  }
  CheckUnused(call, "M3", *block, block->address, block->size, Use::kWrite);
  call.core.device_memory.Free(block);
  return AclCode::kSuccess;
}

AclCode aclrtMallocHost(Call& call, void** host, size_t size) {
  if (const auto failure = CheckRequest(call, host, size)) return *failure;
  const std::shared_ptr<Block> block = call.core.host_memory.Allocate(size);
  if (block == nullptr) return call.Fail(codes::kOutOfMemory, "no pinned memory is left");
  *host = block->address;
  return AclCode::kSuccess;
}

AclCode aclrtFreeHost(Call& call, void* host) {
  const std::shared_ptr<Block> block = host == nullptr ? nullptr : call.core.host_memory.Find(host);
  if (block == nullptr || block->address != host) {
    return call.Break("M6", codes::kInvalidParameter,
                      "aclrtFreeHost of what is no block, or freed already");
  }
  CheckUnused(call, "M6", *block, block->address, block->size, Use::kWrite);
  call.core.host_memory.Free(block);
  return AclCode::kSuccess;
}

AclCode aclrtGetMemInfo(Call& call, MemoryAttribute attribute, size_t* free, size_t* total) {
  if (free == nullptr || total == nullptr ||
      (attribute != MemoryAttribute::kDdr && attribute != MemoryAttribute::kHbm)) {
    return call.Break("M1", codes::kInvalidParameter, "aclrtGetMemInfo with bad arguments");
  }
  *total = call.core.settings.memory;
  *free = *total - call.core.device_memory.used(call.context()->device);
  return AclCode::kSuccess;
}

}  // namespace pipeserve::ascend::sim::calls
