#include "memory_check.h"

namespace pipeserve::ascend::sim {

std::shared_ptr<Block> FindDeviceMemory(Call& call, const char* rule, const char* what,
                                        const void* address, size_t size) {
  const auto refuse = [&](const char* broken, const auto&... parts) {
    call.Break(broken, codes::kInvalidParameter, Text(call.name(), ": ", what, ' ', parts...));
    return nullptr;
  };
  if (address == nullptr) return refuse(rule, "is null");
  if (!call.core.device_memory.IsDeviceAddress(address)) {
    return refuse(rule, "is a host address where one of the device is due");
  }
  std::shared_ptr<Block> block = call.core.device_memory.Find(address);
  if (block == nullptr) return refuse("M4", "is a device address outside all blocks");
  if (block->freed) {
    return refuse("M3", "was freed by ", block->freed_at.Text());
  }
  if (!block->Holds(address, size)) {
    return refuse("M4", "has not ", size, " bytes left in its block of ", block->size, ", of ",
                  block->origin.Text());
  }
  const auto context = call.context();
  if (context != nullptr && context->device != block->device) {
    return refuse("M4", "is on device ", block->device, ", not on ", context->device);
  }
  return block;
}

bool CheckHostMemory(Call& call, const char* what, const void* address, size_t size,
                     std::shared_ptr<Block>* block) {
  const auto refuse = [&](const auto&... parts) {
    call.Break("M4", codes::kInvalidParameter, Text(call.name(), ": ", what, ' ', parts...));
    return false;
  };
  if (address == nullptr) return refuse("is null");
  if (call.core.device_memory.IsDeviceAddress(address)) {
    return refuse("is a device address where one of the host is due");
  }
  *block = call.core.host_memory.Find(address);
  if (*block != nullptr && !(*block)->Holds(address, size)) {
    return refuse("has not ", size, " bytes left in its pinned block of ", (*block)->size);
  }
  return true;
}

void CheckUnused(Call& call, const char* rule, Block& block, const void* begin, size_t size,
                 Use use) {
  block.Settle(call.core.host_clock);
  const auto* const first = static_cast<const std::byte*>(begin);
  const Access access = {first, first + size, use, 0, 0, call.name()};
  if (const Access* const other = block.FindConflict(access, call.core.host_clock)) {
    call.Break(rule, codes::kInvalidParameter,
               Text(call.name(), " of memory that ", other->function, " on stream ", other->stream,
                    " still uses: the host has not waited for it"));
  }
}

bool CheckWritten(Core& core, const char* function, const void* begin, size_t size,
                  const Origin& origin) {
  if (core.device_memory.IsWritten(begin, size)) return true;
  core.Break("M1", Text(function, " reads device memory that was never written; called by ",
                        origin.Text()));
  return false;
}

}  // namespace pipeserve::ascend::sim
