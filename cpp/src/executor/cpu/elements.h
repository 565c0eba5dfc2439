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

// Which data types can be cast, from and to.
inline std::optional<kernels::CastElement> CastElementOf(DataType dtype) {
  switch (dtype) {
    case DataType::kBool:
      return kernels::CastElement::kBool;
    case DataType::kInt8:
      return kernels::CastElement::kInt8;
    case DataType::kUint8:
      return kernels::CastElement::kUint8;
    case DataType::kInt32:
      return kernels::CastElement::kInt32;
    case DataType::kInt64:
      return kernels::CastElement::kInt64;
    case DataType::kFloat16:
      return kernels::CastElement::kFloat16;
    case DataType::kFloat32:
      return kernels::CastElement::kFloat32;
    case DataType::kFloat64:
      return kernels::CastElement::kFloat64;
    default:
      return std::nullopt;
  }
}

}  // namespace pipeserve
