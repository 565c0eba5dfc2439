// How a kernel walks through a tensor that it reads in another order than it lies in.
#pragma once

#include <cstdint>
#include <span>

#include "executor/cpu/kernels.h"

namespace pipeserve {

// A walk over `dims`, the last the fastest, whose source moves by `strides` elements. Leaves out
// dimensions of 1 and joins neighbours that the source walks through without a jump.
kernels::GatherShape MakeGatherShape(std::span<const int64_t> dims,
                                     std::span<const int64_t> strides);

}  // namespace pipeserve
