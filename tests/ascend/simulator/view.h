// A tensor as a view of device memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "elements.h"

namespace pipeserve::ascend::sim {

struct View {
  abi::AclDataType type = abi::AclDataType::kUndefined;
  std::vector<int64_t> dims;
  std::vector<int64_t> strides;       // In elements.
  const std::byte* device = nullptr;  // The first element, as callers see it.
  std::byte* data = nullptr;          // The same as the simulator sees it.

  int64_t count() const;
  // Bytes from the first element to behind the last one.
  size_t extent() const;
  // As "float32[2, 3]".
  std::string Text() const;
  // Row-major without gaps.
  bool IsPacked() const;
  bool SamePlaces(const View& other) const;

  // The view with `dims` that repeats what is 1 or not there; without dims when it cannot.
  View BroadcastTo(const std::vector<int64_t>& dims) const;
};

// Calls `body(offsets)` for each index of `dims`, in row-major order; `offsets[i]` is how many
// bytes from its first element the element of `views[i]` is.
template <size_t kViews, typename Body>
void ForEach(const std::vector<int64_t>& dims, const View* const (&views)[kViews],
             const Body& body) {
  for (const int64_t dim : dims) {
    if (dim == 0) return;
  }
  std::vector<int64_t> index(dims.size(), 0);
  for (;;) {
    int64_t offsets[kViews] = {};
    for (size_t view = 0; view < kViews; ++view) {
      for (size_t axis = 0; axis < dims.size(); ++axis) {
        offsets[view] += index[axis] * views[view]->strides[axis];
      }
      offsets[view] *= static_cast<int64_t>(SizeOf(views[view]->type));
    }
    body(offsets);
    size_t axis = dims.size();
    while (axis > 0 && ++index[axis - 1] == dims[axis - 1]) index[--axis] = 0;
    if (axis == 0) return;
  }
}

}  // namespace pipeserve::ascend::sim
