// The arithmetic of reductions, the same for every communicator.
#pragma once

#include <cstddef>

#include "pipeserve/tensor.h"

namespace pipeserve {

// True for the data types that SumInRankOrder() adds: float16, float32, int32.
bool CanSum(DataType dtype);

// Adds `members` pieces of `count` elements, which lie one after the other from `pieces` on, into
// `output`, the first piece first. float16 adds in float32 and rounds once; int32 wraps around.
// `output` does not overlap the pieces. `dtype` is one that CanSum().
void SumInRankOrder(DataType dtype, const std::byte* pieces, size_t members, size_t count,
                    void* output);

}  // namespace pipeserve
