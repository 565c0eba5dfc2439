// The operators of the runtime that graphs are made of, each bound to the tensors it works on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "executor/ascend/product.h"
#include "executor/ascend/step.h"
#include "executor/ascend/view.h"

namespace pipeserve::ascend {

// Two phases make an operator run: one plans it, one launches the plan. Where the runtime lets a
// plan be repeated it is made at the first launch only.
class Operator final : public Step {
 public:
  // What the plan refers to.
  struct Operands {
    abi::Tensor* operator[](size_t index) const { return tensors[index].get(); }

    std::vector<TensorHandle> tensors;
    std::vector<std::shared_ptr<const void>> others;  // Scalars and arrays.
  };
  using PlanPhase = std::function<abi::AclCode(uint64_t* size, abi::OpExecutor** executor)>;
  using LaunchPhase = abi::AclCode (*)(void* workspace, uint64_t size, abi::OpExecutor* executor,
                                       abi::Stream* stream);

  Operator(Device& device, std::string name, Operands operands, PlanPhase plan, LaunchPhase launch);
  ~Operator() override;
  Operator(const Operator&) = delete;
  Operator& operator=(const Operator&) = delete;

  // Errors: those of the runtime.
  Status Launch(Stream& stream, Workspace& workspace) override;

 private:
  Status Plan(uint64_t* size, abi::OpExecutor** executor);

  Device& device_;
  const std::string name_;
  const Operands operands_;
  const PlanPhase plan_;
  const LaunchPhase launch_;
  bool asked_ = false;                   // Whether the plan may be repeated.
  abi::OpExecutor* executor_ = nullptr;  // The plan that may.
  uint64_t size_ = 0;                    // Its workspace.
};

// All work on one device. Shapes broadcast as in the graph; outputs are written whole.
// Errors: kUnimplemented (the runtime has not that operator), those of TensorHandle::Create().
StepResult MakeMatMul(Device& device, const View& a, const View& b, const View& out,
                      Precision precision);
StepResult MakeNeg(Device& device, const View& x, const View& out);
StepResult MakeRelu(Device& device, const View& x, const View& out);
StepResult MakeCast(Device& device, const View& x, const View& out);
StepResult MakeAdd(Device& device, const View& a, const View& b, const View& out);
StepResult MakeSub(Device& device, const View& a, const View& b, const View& out);
StepResult MakeMul(Device& device, const View& a, const View& b, const View& out);
// `out` has no summed dimensions, or each of size 1.
StepResult MakeReduceSum(Device& device, const View& x, const std::vector<int64_t>& axes,
                         bool keep_dims, const View& out);
StepResult MakeCopy(Device& device, const View& from, const View& to);

}  // namespace pipeserve::ascend
