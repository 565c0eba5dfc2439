// The step of Cast.
#include "executor/cpu/elements.h"
#include "executor/cpu/step.h"

namespace pipeserve {
namespace {

// Below this a helper thread costs more than it brings.
constexpr int64_t kCastsPerThread = 1 << 16;

class CastStep final : public Step {
 public:
  CastStep(const StepContext& context, kernels::CastKernel kernel)
      : x_(context.from[0]),
        y_(context.to[0]),
        kernel_(kernel),
        count_(context.outputs[0].shape.num_elements()),
        x_size_(DataTypeSize(context.inputs[0].dtype)),
        y_size_(DataTypeSize(context.outputs[0].dtype)) {}

  Status Run(const Frame& frame) const override {
    const std::byte* x = frame.Read(x_);
    std::byte* y = frame.Write(y_);
    frame.team->For(count_, kCastsPerThread, [&](int64_t begin, int64_t end, int) {
      const auto first = static_cast<size_t>(begin);
      kernel_(x + first * x_size_, y + first * y_size_, end - begin);
    });
    return OkStatus();
  }

 private:
  const Location x_, y_;
  const kernels::CastKernel kernel_;
  const int64_t count_;
  const size_t x_size_, y_size_;
};

}  // namespace

Result<std::unique_ptr<Step>> MakeCastStep(const StepContext& context) {
  const kernels::CastKernel kernel = context.kernels.cast(*CastElementOf(context.inputs[0].dtype),
                                                          *CastElementOf(context.outputs[0].dtype));
  return std::unique_ptr<Step>(std::make_unique<CastStep>(context, kernel));
}

}  // namespace pipeserve
