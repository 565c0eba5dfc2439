#include "executor/ascend/operators.h"

#include <utility>

#include "base/str_cat.h"

namespace pipeserve::ascend {
namespace {

// A number in the type of a tensor. The runtime keeps a copy.
template <typename T>
abi::Scalar* NewScalar(Device& device, T value, abi::AclDataType type) {
  return device.acl().aclCreateScalar(&value, type);
}

Result<std::shared_ptr<abi::Scalar>> MakeScalar(Device& device, int value, DataType type) {
  abi::Scalar* const scalar =
      type == DataType::kInt32
          ? NewScalar(device, static_cast<int32_t>(value), abi::AclDataType::kInt32)
          : NewScalar(device, static_cast<float>(value), abi::AclDataType::kFloat);
  if (scalar == nullptr) return Internal("aclCreateScalar gave nothing");
  return std::shared_ptr<abi::Scalar>(scalar, [&device](abi::Scalar* each) {
    (void)PIPESERVE_ACL(device, aclDestroyScalar, each);
  });
}

Result<std::shared_ptr<abi::IntArray>> MakeIntArray(Device& device,
                                                    const std::vector<int64_t>& values) {
  abi::IntArray* const array = device.acl().aclCreateIntArray(values.data(), values.size());
  if (array == nullptr) return Internal("aclCreateIntArray gave nothing");
  return std::shared_ptr<abi::IntArray>(array, [&device](abi::IntArray* each) {
    (void)PIPESERVE_ACL(device, aclDestroyIntArray, each);
  });
}

Result<Operator::Operands> MakeOperands(Device& device, std::initializer_list<const View*> views) {
  Operator::Operands operands;
  for (const View* view : views) {
    PIPESERVE_ASSIGN_OR_RETURN(TensorHandle tensor, TensorHandle::Create(device, *view));
    operands.tensors.push_back(std::move(tensor));
  }
  return operands;
}

int8_t CubeType(Precision precision) {
  switch (precision) {
    case Precision::kHf32:
      return abi::kCubeHf32;
    case Precision::kFloat16:
      return abi::kCubeFloat16;
    case Precision::kStrict:
      break;
  }
  return abi::kCubeKeepType;
}

// The two functions of an operator.
template <typename PlanFunction>
struct Phases {
  const char* name;
  PlanFunction plan;
  Operator::LaunchPhase launch;
};
#define PIPESERVE_PHASES(device, name) \
  Phases { #name, (device).acl().name##GetWorkspaceSize, (device).acl().name }

// An operator whose plan is made from `arguments`, which refer to `operands`.
template <typename PlanFunction, typename... Arguments>
StepResult Make(Device& device, const Phases<PlanFunction>& phases, Operator::Operands operands,
                Arguments... arguments) {
  if (phases.plan == nullptr || phases.launch == nullptr) {
    return Unimplemented(StrCat("Ascend's runtime has no function ", phases.name));
  }
  const auto plan = [plan = phases.plan, arguments...](uint64_t* size, abi::OpExecutor** executor) {
    return plan(arguments..., size, executor);
  };
  return StepResult(
      std::make_unique<Operator>(device, phases.name, std::move(operands), plan, phases.launch));
}

template <typename PlanFunction>
StepResult MakeUnary(Device& device, const Phases<PlanFunction>& phases, const View& x,
                     const View& out) {
  PIPESERVE_ASSIGN_OR_RETURN(Operator::Operands operands, MakeOperands(device, {&x, &out}));
  abi::Tensor *const in = operands[0], *const to = operands[1];
  return Make(device, phases, std::move(operands), in, to);
}

// a + alpha * b, or a - alpha * b, with an alpha of 1.
template <typename PlanFunction>
StepResult MakeScaled(Device& device, const Phases<PlanFunction>& phases, const View& a,
                      const View& b, const View& out) {
  PIPESERVE_ASSIGN_OR_RETURN(Operator::Operands operands, MakeOperands(device, {&a, &b, &out}));
  PIPESERVE_ASSIGN_OR_RETURN(const auto alpha, MakeScalar(device, 1, out.type));
  operands.others.push_back(alpha);
  abi::Tensor *const left = operands[0], *const right = operands[1], *const to = operands[2];
  return Make(device, phases, std::move(operands), left, right, alpha.get(), to);
}

// For a device that has no Neg.
StepResult MakeTimesMinusOne(Device& device, const View& x, const View& out) {
  PIPESERVE_ASSIGN_OR_RETURN(Operator::Operands operands, MakeOperands(device, {&x, &out}));
  PIPESERVE_ASSIGN_OR_RETURN(const auto factor, MakeScalar(device, -1, x.type));
  operands.others.push_back(factor);
  abi::Tensor *const in = operands[0], *const to = operands[1];
  return Make(device, PIPESERVE_PHASES(device, aclnnMuls), std::move(operands), in, factor.get(),
              to);
}

}  // namespace

Operator::Operator(Device& device, std::string name, Operands operands, PlanPhase plan,
                   LaunchPhase launch)
    : device_(device),
      name_(std::move(name)),
      operands_(std::move(operands)),
      plan_(std::move(plan)),
      launch_(launch) {}

Operator::~Operator() {
  if (executor_ != nullptr) (void)PIPESERVE_ACL(device_, aclDestroyAclOpExecutor, executor_);
}

Status Operator::Launch(Stream& stream, Workspace& workspace) {
  uint64_t size = size_;
  abi::OpExecutor* executor = executor_;
  if (executor == nullptr) PIPESERVE_RETURN_IF_ERROR(Plan(&size, &executor));
  PIPESERVE_ASSIGN_OR_RETURN(std::byte* const scratch, workspace.Ensure(size));
  return device_.Check(name_.c_str(),
                       launch_(size == 0 ? nullptr : scratch, size, executor, stream.handle()));
}

Status Operator::Plan(uint64_t* size, abi::OpExecutor** executor) {
  const std::string function = name_ + "GetWorkspaceSize";
  PIPESERVE_RETURN_IF_ERROR(device_.Check(function.c_str(), plan_(size, executor)));
  const auto repeat = device_.acl().aclSetAclOpExecutorRepeatable;
  if (repeat == nullptr || std::exchange(asked_, true)) return OkStatus();
  // Operators that copy inside cannot be repeated; that is no error.
  if (repeat(*executor) != abi::AclCode::kSuccess) return OkStatus();
  executor_ = *executor;
  size_ = *size;
  return OkStatus();
}

StepResult MakeMatMul(Device& device, const View& a, const View& b, const View& out,
                      Precision precision) {
  PIPESERVE_ASSIGN_OR_RETURN(Operator::Operands operands, MakeOperands(device, {&a, &b, &out}));
  abi::Tensor *const left = operands[0], *const right = operands[1], *const to = operands[2];
  const int8_t cube = a.type == DataType::kFloat16 ? abi::kCubeKeepType : CubeType(precision);
  return Make(device, PIPESERVE_PHASES(device, aclnnMatmul), std::move(operands), left, right, to,
              cube);
}

StepResult MakeNeg(Device& device, const View& x, const View& out) {
  if (!device.product().has_neg()) return MakeTimesMinusOne(device, x, out);
  return MakeUnary(device, PIPESERVE_PHASES(device, aclnnNeg), x, out);
}

StepResult MakeRelu(Device& device, const View& x, const View& out) {
  return MakeUnary(device, PIPESERVE_PHASES(device, aclnnRelu), x, out);
}

StepResult MakeCast(Device& device, const View& x, const View& out) {
  PIPESERVE_ASSIGN_OR_RETURN(const abi::AclDataType type, ToAclType(out.type));
  PIPESERVE_ASSIGN_OR_RETURN(Operator::Operands operands, MakeOperands(device, {&x, &out}));
  abi::Tensor *const in = operands[0], *const to = operands[1];
  return Make(device, PIPESERVE_PHASES(device, aclnnCast), std::move(operands), in, type, to);
}

StepResult MakeAdd(Device& device, const View& a, const View& b, const View& out) {
  return MakeScaled(device, PIPESERVE_PHASES(device, aclnnAdd), a, b, out);
}

StepResult MakeSub(Device& device, const View& a, const View& b, const View& out) {
  return MakeScaled(device, PIPESERVE_PHASES(device, aclnnSub), a, b, out);
}

StepResult MakeMul(Device& device, const View& a, const View& b, const View& out) {
  PIPESERVE_ASSIGN_OR_RETURN(Operator::Operands operands, MakeOperands(device, {&a, &b, &out}));
  abi::Tensor *const left = operands[0], *const right = operands[1], *const to = operands[2];
  return Make(device, PIPESERVE_PHASES(device, aclnnMul), std::move(operands), left, right, to);
}

StepResult MakeReduceSum(Device& device, const View& x, const std::vector<int64_t>& axes,
                         bool keep_dims, const View& out) {
  PIPESERVE_ASSIGN_OR_RETURN(const abi::AclDataType type, ToAclType(out.type));
  PIPESERVE_ASSIGN_OR_RETURN(Operator::Operands operands, MakeOperands(device, {&x, &out}));
  PIPESERVE_ASSIGN_OR_RETURN(const auto dims, MakeIntArray(device, axes));
  operands.others.push_back(dims);
  abi::Tensor *const in = operands[0], *const to = operands[1];
  return Make(device, PIPESERVE_PHASES(device, aclnnReduceSum), std::move(operands), in, dims.get(),
              keep_dims, type, to);
}

StepResult MakeCopy(Device& device, const View& from, const View& to) {
  PIPESERVE_ASSIGN_OR_RETURN(Operator::Operands operands, MakeOperands(device, {&from, &to}));
  abi::Tensor *const in = operands[0], *const out = operands[1];
  return Make(device, PIPESERVE_PHASES(device, aclnnInplaceCopy), std::move(operands), out, in);
}

}  // namespace pipeserve::ascend
