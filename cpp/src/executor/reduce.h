// The arithmetic of reductions, the same for every communicator.
#pragma once

#include <cstddef>
#include <span>

#include "pipeserve/tensor.h"

namespace pipeserve {

// True for the data types that SumInRankOrder() adds: float16, float32, int32.
bool CanSum(DataType dtype);

// Adds `pieces` of `count` elements each into `output`, the first piece first. float16 adds in
// float32 and rounds once; int32 wraps around. `output` does not overlap the pieces. `dtype` is one
// that CanSum().
void SumInRankOrder(DataType dtype, std::span<const std::byte* const> pieces, size_t count,
                    void* output);

}  // namespace pipeserve
