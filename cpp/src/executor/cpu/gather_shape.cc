#include "executor/cpu/gather_shape.h"

namespace pipeserve {

kernels::GatherShape MakeGatherShape(std::span<const int64_t> dims,
                                     std::span<const int64_t> strides) {
  kernels::GatherShape shape;
  shape.rank = 0;
  for (size_t i = 0; i < dims.size(); ++i) {
    if (dims[i] == 1) continue;
    const int last = shape.rank - 1;
    const bool joins = last >= 0 && shape.strides[last] == strides[i] * dims[i];
    const int at = joins ? last : shape.rank++;
    shape.dims[at] = joins ? shape.dims[at] * dims[i] : dims[i];
    shape.strides[at] = strides[i];
  }
  return shape.rank == 0 ? kernels::GatherShape{} : shape;
}

}  // namespace pipeserve
