// The step of ReduceSum.
#include <algorithm>

#include "executor/cpu/elements.h"
#include "executor/cpu/gather_shape.h"
#include "executor/cpu/kernels.h"
#include "executor/cpu/step.h"
#include "graph/shape_inference.h"

namespace pipeserve {
namespace {

using kernels::SumShape;

// Below this a helper thread costs more than it brings.
constexpr int64_t kAdditionsPerThread = 1 << 16;

class SumStep final : public Step {
 public:
  SumStep(const StepContext& context, const SumShape& shape, kernels::SumKernel kernel)
      : x_(context.from[0]),
        y_(context.to[0]),
        shape_(shape),
        kernel_(kernel),
        count_(context.outputs[0].shape.num_elements()) {
    const int64_t additions = context.inputs[0].shape.num_elements() / std::max<int64_t>(count_, 1);
    grain_ = std::max<int64_t>(1, kAdditionsPerThread / std::max<int64_t>(additions, 1));
  }

  Status Run(const Frame& frame) const override {
    const std::byte* x = frame.Read(x_);
    std::byte* y = frame.Write(y_);
    frame.team->For(count_, grain_,
                    [&](int64_t begin, int64_t end, int) { kernel_(shape_, x, y, begin, end); });
    return OkStatus();
  }

 private:
  const Location x_, y_;
  const SumShape shape_;
  const kernels::SumKernel kernel_;
  const int64_t count_;
  int64_t grain_ = 1;
};

}  // namespace

Result<std::unique_ptr<Step>> MakeSumStep(const StepContext& context) {
  const Shape& x = context.inputs[0].shape;
  PIPESERVE_ASSIGN_OR_RETURN(
      const std::vector<bool> summed,
      ResolveReduction(std::get<ReduceAttributes>(context.node.attributes), x));
  // Of the dimensions that are kept and of those that are summed over, in the order of `x`.
  std::vector<int64_t> dims[2], strides[2];
  int64_t stride = x.num_elements();
  for (size_t i = 0; i < x.rank(); ++i) {
    stride /= std::max<int64_t>(x[i], 1);  // Of a tensor without elements none is ever taken.
    dims[summed[i]].push_back(x[i]);
    strides[summed[i]].push_back(stride);
  }
  const SumShape shape{MakeGatherShape(dims[0], strides[0]), MakeGatherShape(dims[1], strides[1])};
  return std::unique_ptr<Step>(std::make_unique<SumStep>(
      context, shape, context.kernels.sum(*ElementOf(context.inputs[0].dtype))));
}

}  // namespace pipeserve
