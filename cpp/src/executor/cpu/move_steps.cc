// Steps that only move bytes: Transpose, StridedSlice, Concat, Split.
#include <utility>

#include "executor/cpu/gather_shape.h"
#include "executor/cpu/kernels.h"
#include "executor/cpu/step.h"
#include "graph/shape_inference.h"

namespace pipeserve {
namespace {

using kernels::GatherShape;

class GatherStep final : public Step {
 public:
  // `start` is the source's first element.
  GatherStep(const StepContext& context, const GatherShape& shape, int64_t start)
      : from_(context.from[0]),
        to_(context.to[0]),
        shape_(shape),
        element_size_(DataTypeSize(context.inputs[0].dtype)),
        start_(static_cast<size_t>(start) * element_size_) {}

  Status Run(const Frame& frame) const override {
    kernels::Gather(shape_, element_size_, frame.Read(from_) + start_, frame.Write(to_));
    return OkStatus();
  }

 private:
  const Location from_, to_;
  const GatherShape shape_;
  const size_t element_size_;
  const size_t start_;
};

// Runs of bytes that lie side by side in each row of one operand: a part of Concat or Split.
struct Part {
  Location location;
  size_t bytes = 0;   // Of one row.
  size_t offset = 0;  // In a row of the whole.
};

struct Parts {
  int64_t rows = 0;
  size_t row_bytes = 0;  // Of the whole.
  std::vector<Part> parts;
};

class ConcatStep final : public Step {
 public:
  ConcatStep(Parts parts, const Location& whole) : parts_(std::move(parts)), whole_(whole) {}

  Status Run(const Frame& frame) const override {
    for (const Part& part : parts_.parts) {
      kernels::CopyRows(parts_.rows, part.bytes, frame.Read(part.location), part.bytes,
                        frame.Write(whole_) + part.offset, parts_.row_bytes);
    }
    return OkStatus();
  }

 private:
  const Parts parts_;
  const Location whole_;
};

class SplitStep final : public Step {
 public:
  SplitStep(Parts parts, const Location& whole) : parts_(std::move(parts)), whole_(whole) {}

  Status Run(const Frame& frame) const override {
    for (const Part& part : parts_.parts) {
      kernels::CopyRows(parts_.rows, part.bytes, frame.Read(whole_) + part.offset, parts_.row_bytes,
                        frame.Write(part.location), part.bytes);
    }
    return OkStatus();
  }

 private:
  const Parts parts_;
  const Location whole_;
};

// Elements in the dimensions [begin, end) of `shape`.
int64_t Elements(const Shape& shape, size_t begin, size_t end) {
  int64_t count = 1;
  for (size_t i = begin; i < end; ++i) count *= shape[i];
  return count;
}

Parts MakeParts(const StepContext& context, const Shape& whole, std::span<const TensorInfo> infos,
                std::span<const Location> locations) {
  int64_t axis = std::get<AxisAttributes>(context.node.attributes).axis;
  if (axis < 0) axis += static_cast<int64_t>(whole.rank());
  const auto at = static_cast<size_t>(axis);
  const size_t element = DataTypeSize(infos[0].dtype);
  Parts parts{
      Elements(whole, 0, at), static_cast<size_t>(Elements(whole, at, whole.rank())) * element, {}};
  size_t offset = 0;
  for (size_t i = 0; i < infos.size(); ++i) {
    const Shape& shape = infos[i].shape;
    const size_t bytes = static_cast<size_t>(Elements(shape, at, shape.rank())) * element;
    parts.parts.push_back({locations[i], bytes, offset});
    offset += bytes;
  }
  return parts;
}

}  // namespace

Result<std::unique_ptr<Step>> MakeTransposeStep(const StepContext& context) {
  const auto& perm = std::get<TransposeAttributes>(context.node.attributes).perm;
  const Shape& x = context.inputs[0].shape;
  const Shape& y = context.outputs[0].shape;
  std::vector<int64_t> strides;
  for (const int64_t axis : perm) {
    const auto from = static_cast<size_t>(axis < 0 ? axis + static_cast<int64_t>(x.rank()) : axis);
    strides.push_back(Elements(x, from + 1, x.rank()));
  }
  return std::unique_ptr<Step>(
      std::make_unique<GatherStep>(context, MakeGatherShape(y.dims(), strides), 0));
}

Result<std::unique_ptr<Step>> MakeSliceStep(const StepContext& context) {
  const Shape& x = context.inputs[0].shape;
  PIPESERVE_ASSIGN_OR_RETURN(
      const SliceSpec slice,
      ResolveSlice(std::get<StridedSliceAttributes>(context.node.attributes), x));
  std::vector<int64_t> strides;
  int64_t start = 0;
  bool empty = false;
  for (size_t i = 0; i < x.rank(); ++i) {
    const int64_t stride = Elements(x, i + 1, x.rank());
    start += slice.begin[i] * stride;
    // A stride that is never taken may be any number; multiplying it could overflow.
    strides.push_back(slice.sizes[i] > 1 ? slice.strides[i] * stride : 0);
    empty = empty || slice.sizes[i] == 0;
  }
  // An empty slice may begin outside its source.
  return std::unique_ptr<Step>(std::make_unique<GatherStep>(
      context, MakeGatherShape(slice.sizes, strides), empty ? 0 : start));
}

Result<std::unique_ptr<Step>> MakeConcatStep(const StepContext& context) {
  return std::unique_ptr<Step>(std::make_unique<ConcatStep>(
      MakeParts(context, context.outputs[0].shape, context.inputs, context.from), context.to[0]));
}

Result<std::unique_ptr<Step>> MakeSplitStep(const StepContext& context) {
  return std::unique_ptr<Step>(std::make_unique<SplitStep>(
      MakeParts(context, context.inputs[0].shape, context.outputs, context.to), context.from[0]));
}

}  // namespace pipeserve
