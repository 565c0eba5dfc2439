// What an executor's device is, as far as the ranks of a group have to agree on it.
#pragma once

#include <string>

#include "base/str_cat.h"

namespace pipeserve {

struct DeviceTraits {
  std::string kind = "cpu";  // Or "ascend".
  std::string precision;     // Of a MatMul of float32, where the device gives a choice; else empty.
  bool deterministic = false;

  friend bool operator==(const DeviceTraits&, const DeviceTraits&) = default;
};

// "(ascend, precision hf32, deterministic)".
inline std::string Describe(const DeviceTraits& device) {
  std::string text = device.kind;
  if (!device.precision.empty()) text += StrCat(", precision ", device.precision);
  if (device.deterministic) text += ", deterministic";
  return StrCat("(", text, ")");
}

}  // namespace pipeserve
