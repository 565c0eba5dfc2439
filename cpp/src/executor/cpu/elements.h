// Which element type of the kernels a data type is.
#pragma once

#include <optional>

#include "executor/cpu/kernels.h"
#include "pipeserve/tensor.h"

namespace pipeserve {

inline std::optional<kernels::Element> ElementOf(DataType dtype) {
  switch (dtype) {
    case DataType::kFloat16:
      return kernels::Element::kFloat16;
    case DataType::kFloat32:
      return kernels::Element::kFloat32;
    case DataType::kFloat64:
      return kernels::Element::kFloat64;
    case DataType::kInt32:
      return kernels::Element::kInt32;
    case DataType::kInt64:
      return kernels::Element::kInt64;
    default:
      return std::nullopt;
  }
}

}  // namespace pipeserve
