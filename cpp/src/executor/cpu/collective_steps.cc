// Steps that run over all members of a group: AllReduce and AllGather.
#include "base/str_cat.h"
#include "executor/cpu/step.h"

namespace pipeserve {
namespace {

class AllReduceStep final : public Step {
 public:
  explicit AllReduceStep(const StepContext& context)
      : name_(context.node.name),
        ranks_(std::get<CollectiveAttributes>(context.node.attributes).ranks),
        from_(context.from[0]),
        to_(context.to[0]),
        dtype_(context.inputs[0].dtype),
        count_(static_cast<size_t>(context.inputs[0].shape.num_elements())) {}

  Status Run(const Frame& frame) const override { return RunInto(frame.Write(to_), frame); }
  Status Contribute(const Frame& frame) const override { return RunInto(nullptr, frame); }

 private:
  Status RunInto(std::byte* output, const Frame& frame) const {
    Status status = frame.communicator->AllReduceSum(ranks_, dtype_, frame.Read(from_), output,
                                                     count_, frame.deadline);
    return status.ok() ? status : status.WithContext(StrCat("AllReduce ", name_));
  }

  const std::string name_;
  const std::vector<int32_t> ranks_;
  const Location from_, to_;
  const DataType dtype_;
  const size_t count_;
};

class AllGatherStep final : public Step {
 public:
  explicit AllGatherStep(const StepContext& context)
      : name_(context.node.name),
        ranks_(std::get<CollectiveAttributes>(context.node.attributes).ranks),
        from_(context.from[0]),
        to_(context.to[0]),
        bytes_(static_cast<size_t>(context.inputs[0].byte_size())) {}

  Status Run(const Frame& frame) const override { return RunInto(frame.Write(to_), frame); }
  Status Contribute(const Frame& frame) const override { return RunInto(nullptr, frame); }

 private:
  Status RunInto(std::byte* output, const Frame& frame) const {
    Status status =
        frame.communicator->AllGather(ranks_, frame.Read(from_), bytes_, output, frame.deadline);
    return status.ok() ? status : status.WithContext(StrCat("AllGather ", name_));
  }

  const std::string name_;
  const std::vector<int32_t> ranks_;
  const Location from_, to_;
  const size_t bytes_;
};

}  // namespace

Result<std::unique_ptr<Step>> MakeAllReduceStep(const StepContext& context) {
  return std::unique_ptr<Step>(std::make_unique<AllReduceStep>(context));
}

Result<std::unique_ptr<Step>> MakeAllGatherStep(const StepContext& context) {
  return std::unique_ptr<Step>(std::make_unique<AllGatherStep>(context));
}

}  // namespace pipeserve
