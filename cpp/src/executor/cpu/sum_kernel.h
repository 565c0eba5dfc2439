// Sums over some dimensions of a tensor; like the other kernels, a plain function on raw pointers.
#pragma once

#include "executor/cpu/kernels.h"

namespace pipeserve::kernels {

// Where the elements of the source lie: `kept` gives that of each element of the contiguous result,
// `summed` how far the source moves for each element that is added to it. Every dimension of the
// source is in one of the two, so one of them ends with a stride of 1.
struct SumShape {
  GatherShape kept, summed;
};

// Computes elements [begin, end) of the result. The order in which an element is added up depends
// on the shape alone.
using SumKernel = void (*)(const SumShape& shape, const void* x, void* y, int64_t begin,
                           int64_t end);
// Null when there is no kernel for `element`. float16 adds up in float32; integers wrap.
SumKernel SelectSum(Element element);

}  // namespace pipeserve::kernels
