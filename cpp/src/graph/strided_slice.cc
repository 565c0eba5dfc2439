// Strided slices: masks, negative indices and clamping, resolved against an input shape.
#include <algorithm>

#include "base/str_cat.h"
#include "graph/shape_inference.h"

namespace pipeserve {
namespace {

// More entries than this cannot all consume or make a dimension.
constexpr size_t kMaxEntries = 2 * Shape::kMaxRank;

bool HasBit(int64_t mask, size_t bit) { return ((mask >> bit) & 1) != 0; }

// Walks the entries and fills a SliceSpec; sizes may be unknown where the input is.
class Resolver {
 public:
  Resolver(const StridedSliceAttributes& attributes, const Shape& input)
      : attributes_(attributes), input_(input) {}

  Result<SliceSpec> Resolve() {
    PIPESERVE_RETURN_IF_ERROR(CheckEntries());
    for (size_t i = 0; i < attributes_.begin.size(); ++i) {
      if (IsEllipsis(i)) {
        for (size_t n = 0; n < ellipsis_dims_; ++n) PIPESERVE_RETURN_IF_ERROR(TakeWhole());
      } else if (HasBit(attributes_.new_axis_mask, i)) {
        PIPESERVE_RETURN_IF_ERROR(AppendOutput(1));
      } else if (HasBit(attributes_.shrink_axis_mask, i)) {
        PIPESERVE_RETURN_IF_ERROR(TakeOne(i));
      } else {
        PIPESERVE_RETURN_IF_ERROR(TakeRange(i));
      }
    }
    while (spec_.begin.size() < input_.rank()) PIPESERVE_RETURN_IF_ERROR(TakeWhole());
    return std::move(spec_);
  }

 private:
  bool IsEllipsis(size_t i) const { return HasBit(attributes_.ellipsis_mask, i); }

  Status CheckEntries() {
    const size_t count = attributes_.begin.size();
    if (attributes_.end.size() != count || attributes_.strides.size() != count ||
        count > kMaxEntries) {
      return InvalidArgument(StrCat("begin, end and strides have ", count, ", ",
                                    attributes_.end.size(), " and ", attributes_.strides.size(),
                                    " entries, as many of each were wanted, at most ",
                                    kMaxEntries));
    }
    size_t ellipses = 0, consumed = 0;
    for (size_t i = 0; i < count; ++i) {
      if (IsEllipsis(i)) {
        ++ellipses;
      } else if (!HasBit(attributes_.new_axis_mask, i)) {
        ++consumed;
      }
    }
    if (ellipses > 1) return InvalidArgument("ellipsis_mask has more than one bit");
    if (consumed > input_.rank()) {
      return InvalidArgument(
          StrCat("the slice has ", consumed, " entries for an input of shape ", input_));
    }
    ellipsis_dims_ = input_.rank() - consumed;
    return OkStatus();
  }

  Status AppendOutput(int64_t size) {
    if (spec_.output.rank() == Shape::kMaxRank) {
      return InvalidArgument(StrCat("the result has more than ", Shape::kMaxRank, " dimensions"));
    }
    spec_.output.Append(size);
    return OkStatus();
  }

  void Take(int64_t begin, int64_t stride, int64_t size) {
    spec_.begin.push_back(begin);
    spec_.strides.push_back(stride);
    spec_.sizes.push_back(size);
  }

  int64_t dim() const { return input_[spec_.begin.size()]; }

  Status TakeWhole() {
    const int64_t size = dim();
    Take(0, 1, size);
    return AppendOutput(size);
  }

  Status TakeOne(size_t i) {
    const int64_t size = dim(), wanted = attributes_.begin[i];
    if (attributes_.strides[i] <= 0) {
      return InvalidArgument(StrCat("entry ", i, " picks one index with stride ",
                                    attributes_.strides[i], ", a positive one was wanted"));
    }
    const int64_t index = wanted < 0 && size >= 0 ? wanted + size : wanted;
    if (size >= 0 && (index < 0 || index >= size)) {
      return InvalidArgument(
          StrCat("entry ", i, " picks index ", wanted, " of a dimension of ", size));
    }
    Take(index, 1, 1);
    return OkStatus();
  }

  Status TakeRange(size_t i) {
    const int64_t size = dim(), stride = attributes_.strides[i];
    if (stride == 0) return InvalidArgument(StrCat("entry ", i, " has stride 0"));
    if (size == Shape::kUnknownDim) {
      Take(0, stride, Shape::kUnknownDim);
      return AppendOutput(Shape::kUnknownDim);
    }
    const bool forward = stride > 0;
    const int64_t low = forward ? 0 : -1, high = forward ? size : size - 1;
    const auto bound = [&](int64_t value) {
      return std::clamp(value < 0 ? value + size : value, low, high);
    };
    const int64_t begin =
        HasBit(attributes_.begin_mask, i) ? (forward ? low : high) : bound(attributes_.begin[i]);
    const int64_t end =
        HasBit(attributes_.end_mask, i) ? (forward ? high : low) : bound(attributes_.end[i]);
    const int64_t distance = end - begin;
    const bool any = forward ? distance > 0 : distance < 0;
    const int64_t taken = any ? distance / stride + (distance % stride != 0 ? 1 : 0) : 0;
    // Where nothing is taken, begin may lie one past either end; it is not read.
    Take(any ? begin : 0, stride, taken);
    return AppendOutput(taken);
  }

  const StridedSliceAttributes& attributes_;
  const Shape& input_;
  size_t ellipsis_dims_ = 0;
  SliceSpec spec_;
};

}  // namespace

Result<SliceSpec> ResolveSlice(const StridedSliceAttributes& attributes, const Shape& input) {
  if (!input.is_known()) {
    return InvalidArgument(StrCat("a slice of shape ", input, " has no fixed size"));
  }
  return Resolver(attributes, input).Resolve();
}

Result<Shape> InferSliceShape(const StridedSliceAttributes& attributes, const Shape& input) {
  PIPESERVE_ASSIGN_OR_RETURN(const SliceSpec spec, Resolver(attributes, input).Resolve());
  return spec.output;
}

}  // namespace pipeserve
