// What memory an argument points to.
#pragma once

#include <optional>

#include "call.h"

namespace pipeserve::ascend::sim {

// The block of the calling thread's device that holds `size` bytes from `address`; null, and
// reported under `rule` unless the address breaks a rule of its own, when there is none. `what` is
// the argument's name in the text.
std::shared_ptr<Block> FindDeviceMemory(Call& call, const char* rule, const char* what,
                                        const void* address, size_t size);

// True for memory of the host; reports a device address, and bytes outside a pinned block. `block`
// is null for pageable memory.
bool CheckHostMemory(Call& call, const char* what, const void* address, size_t size,
                     std::shared_ptr<Block>* block);

// Reports under `rule` what of these bytes streams may still use.
void CheckUnused(Call& call, const char* rule, Block& block, const void* begin, size_t size,
                 Use use);

// True when these bytes of device memory were all written; reports M1 when not.
bool CheckWritten(Core& core, const char* function, const void* begin, size_t size,
                  const Origin& origin);

}  // namespace pipeserve::ascend::sim
