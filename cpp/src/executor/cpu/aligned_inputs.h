// Inputs whose bytes lie where a kernel may read them.
#pragma once

#include <atomic>
#include <cstdint>
#include <span>
#include <vector>

#include "pipeserve/status.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

// True when the bytes start at a multiple of the element size, as kernels read them.
bool IsAligned(const Tensor& tensor);

// The same tensor with bytes of its own, which are aligned. Errors: kResourceExhausted.
Result<Tensor> AlignedCopy(const Tensor& tensor);

// The inputs of one call. A caller's array or a slice of a message may start anywhere; such an
// input, which is rare, is copied, and all others are borrowed.
class AlignedInputs {
 public:
  // Adds the copies made to `copies`. Errors: those of AlignedCopy().
  Status Assign(std::span<const Tensor> inputs, std::atomic<int64_t>& copies);
  std::span<const Tensor> tensors() const { return tensors_; }

 private:
  std::span<const Tensor> tensors_;
  std::vector<Tensor> owned_;  // Empty when nothing is copied.
};

}  // namespace pipeserve
