// The operators of the runtime, each bound to a few tensors, with its two phases apart.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "executor/ascend/operators.h"
#include "report.h"
#include "session.h"

namespace pipeserve::ascend::check {

// One operator with its operands.
struct OperatorCall {
  std::string name;
  Operator::Operands operands;
  Operator::PlanPhase plan;
  Operator::LaunchPhase launch = nullptr;
  const DeviceBlock* out = nullptr;
  size_t out_count = 0;

  // Phase 1.
  Status Plan(Device& device, uint64_t* size, abi::OpExecutor** executor) const;
  // Phase 2, on the session's stream or another.
  Status Launch(Session& session, uint64_t size, abi::OpExecutor* executor,
                abi::Stream* stream) const;
  // Both, on the session's stream.
  Status Run(Session& session) const;
};

// Of all operators that graphs need and the product has.
class OperatorCalls {
 public:
  static Result<std::unique_ptr<OperatorCalls>> Create(Session& session);

  const std::vector<OperatorCall>& all() const { return calls_; }
  const OperatorCall* Find(const std::string& name) const;
  // What the product or the release has not: why.
  const Json& missing() const { return missing_; }

 private:
  struct Operand;
  explicit OperatorCalls(Session& session) : session_(session) {}
  Status Fill();
  Status AddMatMul();
  Status AddUnary();
  Status AddBinary();
  Status AddOthers();
  template <typename PlanFunction, typename Arguments>
  Status Add(const char* name, PlanFunction plan, Operator::LaunchPhase launch,
             std::vector<View> views, const DeviceBlock& out, Arguments arguments);
  Result<std::shared_ptr<abi::Scalar>> MakeScalar(float value);

  Session& session_;
  DeviceBlock x_, w_, same_, product_, sum_;
  std::vector<OperatorCall> calls_;
  Json missing_ = Json::object();
  const Drain drain_{session_};  // Before what it waits for.
};

}  // namespace pipeserve::ascend::check
