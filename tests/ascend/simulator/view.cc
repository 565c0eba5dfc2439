#include "view.h"

#include <sstream>

namespace pipeserve::ascend::sim {

int64_t View::count() const {
  int64_t product = 1;
  for (const int64_t dim : dims) product *= dim;
  return product;
}

size_t View::extent() const {
  if (count() == 0) return 0;
  int64_t last = 0;
  for (size_t i = 0; i < dims.size(); ++i) last += (dims[i] - 1) * strides[i];
  return static_cast<size_t>(last + 1) * SizeOf(type);
}

std::string View::Text() const {
  std::ostringstream text;
  text << NameOf(type) << '[';
  for (size_t i = 0; i < dims.size(); ++i) text << (i == 0 ? "" : ", ") << dims[i];
  text << ']';
  return text.str();
}

bool View::IsPacked() const {
  int64_t step = 1;
  for (size_t i = dims.size(); i > 0; --i) {
    if (dims[i - 1] != 1 && strides[i - 1] != step) return false;
    step *= dims[i - 1];
  }
  return true;
}

bool View::SamePlaces(const View& other) const {
  return device == other.device && type == other.type && dims == other.dims &&
         strides == other.strides;
}

View View::BroadcastTo(const std::vector<int64_t>& wanted) const {
  View view = *this;
  view.dims.clear();
  if (dims.size() > wanted.size()) return view;
  const size_t missing = wanted.size() - dims.size();
  std::vector<int64_t> steps(wanted.size(), 0);
  for (size_t i = missing; i < wanted.size(); ++i) {
    const int64_t dim = dims[i - missing];
    if (dim != wanted[i] && dim != 1) return view;
    steps[i] = dim == 1 ? 0 : strides[i - missing];
  }
  view.dims = wanted;
  view.strides = steps;
  return view;
}

}  // namespace pipeserve::ascend::sim
