// Steps that meet other ranks: all members of a group, or the other end of a message.
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

class SendStep final : public Step {
 public:
  explicit SendStep(const StepContext& context)
      : name_(context.node.name),
        message_(std::get<MessageAttributes>(context.node.attributes)),
        from_(context.from[0]),
        bytes_(static_cast<size_t>(context.inputs[0].byte_size())) {}

  Status Run(const Frame& frame) const override {
    Status status = frame.communicator->Send(message_.peer, message_.tag, frame.Read(from_), bytes_,
                                             frame.deadline);
    return status.ok() ? status : status.WithContext(StrCat("Send ", name_));
  }

 private:
  const std::string name_;
  const MessageAttributes message_;
  const Location from_;
  const size_t bytes_;
};

class ReceiveStep final : public Step {
 public:
  explicit ReceiveStep(const StepContext& context)
      : name_(context.node.name),
        message_(std::get<MessageAttributes>(context.node.attributes)),
        to_(context.to[0]),
        bytes_(static_cast<size_t>(context.outputs[0].byte_size())) {}

  Status Run(const Frame& frame) const override {
    Status status = frame.communicator->Receive(message_.peer, message_.tag, frame.Write(to_),
                                                bytes_, frame.deadline);
    return status.ok() ? status : status.WithContext(StrCat("Receive ", name_));
  }

 private:
  const std::string name_;
  const MessageAttributes message_;
  const Location to_;
  const size_t bytes_;
};

}  // namespace

Result<std::unique_ptr<Step>> MakeAllReduceStep(const StepContext& context) {
  return std::unique_ptr<Step>(std::make_unique<AllReduceStep>(context));
}

Result<std::unique_ptr<Step>> MakeAllGatherStep(const StepContext& context) {
  return std::unique_ptr<Step>(std::make_unique<AllGatherStep>(context));
}

Result<std::unique_ptr<Step>> MakeSendStep(const StepContext& context) {
  return std::unique_ptr<Step>(std::make_unique<SendStep>(context));
}

Result<std::unique_ptr<Step>> MakeReceiveStep(const StepContext& context) {
  return std::unique_ptr<Step>(std::make_unique<ReceiveStep>(context));
}

}  // namespace pipeserve
