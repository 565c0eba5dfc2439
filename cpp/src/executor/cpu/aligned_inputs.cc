#include "executor/cpu/aligned_inputs.h"

#include <algorithm>
#include <new>

#include "base/str_cat.h"

namespace pipeserve {

bool IsAligned(const Tensor& tensor) {
  const size_t size = DataTypeSize(tensor.dtype());
  return size <= 1 || reinterpret_cast<uintptr_t>(tensor.data()) % size == 0;
}

Result<Tensor> AlignedCopy(const Tensor& tensor) {
  try {
    return Tensor(tensor.dtype(), tensor.shape(), Buffer::CopyOf(tensor.buffer().bytes()));
  } catch (const std::bad_alloc&) {
    return ResourceExhausted(
        StrCat("no memory for an aligned copy of ", tensor.byte_size(), " bytes"));
  }
}

Status AlignedInputs::Assign(std::span<const Tensor> inputs, std::atomic<int64_t>& copies) {
  tensors_ = inputs;
  if (std::all_of(inputs.begin(), inputs.end(), IsAligned)) return OkStatus();
  owned_.assign(inputs.begin(), inputs.end());
  for (Tensor& tensor : owned_) {
    if (IsAligned(tensor)) continue;
    PIPESERVE_ASSIGN_OR_RETURN(tensor, AlignedCopy(tensor));
    copies.fetch_add(1, std::memory_order_relaxed);
  }
  tensors_ = owned_;
  return OkStatus();
}

}  // namespace pipeserve
