#include "executor/ascend/operators.h"

#include <utility>

#include "base/str_cat.h"

namespace pipeserve::ascend {
namespace {

Status HasNot(const char* function) {
  return Unimplemented(StrCat("Ascend's runtime has no function ", function));
}

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

// A phase 1 that takes one tensor, or two, and the output.
using UnaryPlan = abi::AclCode (*)(const abi::Tensor*, abi::Tensor*, uint64_t*, abi::OpExecutor**);
using BinaryPlan = abi::AclCode (*)(const abi::Tensor*, const abi::Tensor*, abi::Tensor*, uint64_t*,
                                    abi::OpExecutor**);
using ScaledPlan = abi::AclCode (*)(const abi::Tensor*, const abi::Tensor*, const abi::Scalar*,
                                    abi::Tensor*, uint64_t*, abi::OpExecutor**);

struct Phases {
  const char* name;
  Operator::LaunchPhase launch;
};

OperatorResult MakeUnary(Device& device, const Phases& phases, UnaryPlan plan, const View& x,
                         const View& out) {
  if (plan == nullptr || phases.launch == nullptr) return HasNot(phases.name);
  PIPESERVE_ASSIGN_OR_RETURN(Operator::Operands operands, MakeOperands(device, {&x, &out}));
  abi::Tensor* const in = operands.tensors[0].get();
  abi::Tensor* const to = operands.tensors[1].get();
  return std::make_unique<Operator>(
      device, phases.name, std::move(operands),
      [=](uint64_t* size, abi::OpExecutor** executor) { return plan(in, to, size, executor); },
      phases.launch);
}

// a + alpha * b, with an alpha of 1.
OperatorResult MakeScaled(Device& device, const Phases& phases, ScaledPlan plan, const View& a,
                          const View& b, const View& out) {
  if (plan == nullptr || phases.launch == nullptr) return HasNot(phases.name);
  PIPESERVE_ASSIGN_OR_RETURN(Operator::Operands operands, MakeOperands(device, {&a, &b, &out}));
  PIPESERVE_ASSIGN_OR_RETURN(const auto alpha, MakeScalar(device, 1, out.type));
  operands.others.push_back(alpha);
  abi::Tensor* const left = operands.tensors[0].get();
  abi::Tensor* const right = operands.tensors[1].get();
  abi::Tensor* const to = operands.tensors[2].get();
  return std::make_unique<Operator>(
      device, phases.name, std::move(operands),
      [=, factor = alpha.get()](uint64_t* size, abi::OpExecutor** executor) {
        return plan(left, right, factor, to, size, executor);
      },
      phases.launch);
}

// For a device that has no Neg: x * -1.
OperatorResult MakeTimesMinusOne(Device& device, const View& x, const View& out) {
  const auto plan = device.acl().aclnnMulsGetWorkspaceSize;
  const auto launch = device.acl().aclnnMuls;
  if (plan == nullptr || launch == nullptr) return HasNot("aclnnMuls");
  PIPESERVE_ASSIGN_OR_RETURN(Operator::Operands operands, MakeOperands(device, {&x, &out}));
  PIPESERVE_ASSIGN_OR_RETURN(const auto factor, MakeScalar(device, -1, x.type));
  operands.others.push_back(factor);
  abi::Tensor* const in = operands.tensors[0].get();
  abi::Tensor* const to = operands.tensors[1].get();
  return std::make_unique<Operator>(
      device, "aclnnMuls", std::move(operands),
      [=, scalar = factor.get()](uint64_t* size, abi::OpExecutor** executor) {
        return plan(in, scalar, to, size, executor);
      },
      launch);
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

OperatorResult MakeMatMul(Device& device, const View& a, const View& b, const View& out,
                          Precision precision) {
  const auto plan = device.acl().aclnnMatmulGetWorkspaceSize;
  const auto launch = device.acl().aclnnMatmul;
  if (plan == nullptr || launch == nullptr) return HasNot("aclnnMatmul");
  PIPESERVE_ASSIGN_OR_RETURN(Operator::Operands operands, MakeOperands(device, {&a, &b, &out}));
  abi::Tensor* const left = operands.tensors[0].get();
  abi::Tensor* const right = operands.tensors[1].get();
  abi::Tensor* const to = operands.tensors[2].get();
  const int8_t cube = a.type == DataType::kFloat16 ? abi::kCubeKeepType : CubeType(precision);
  return std::make_unique<Operator>(
      device, "aclnnMatmul", std::move(operands),
      [=](uint64_t* size, abi::OpExecutor** executor) {
        return plan(left, right, to, cube, size, executor);
      },
      launch);
}

OperatorResult MakeNeg(Device& device, const View& x, const View& out) {
  const abi::Functions& acl = device.acl();
  const bool has_neg = device.product().has_neg() && acl.aclnnNegGetWorkspaceSize != nullptr;
  if (!has_neg) return MakeTimesMinusOne(device, x, out);
  return MakeUnary(device, {"aclnnNeg", acl.aclnnNeg}, acl.aclnnNegGetWorkspaceSize, x, out);
}

OperatorResult MakeRelu(Device& device, const View& x, const View& out) {
  const abi::Functions& acl = device.acl();
  return MakeUnary(device, {"aclnnRelu", acl.aclnnRelu}, acl.aclnnReluGetWorkspaceSize, x, out);
}

OperatorResult MakeAdd(Device& device, const View& a, const View& b, const View& out) {
  const abi::Functions& acl = device.acl();
  return MakeScaled(device, {"aclnnAdd", acl.aclnnAdd}, acl.aclnnAddGetWorkspaceSize, a, b, out);
}

OperatorResult MakeSub(Device& device, const View& a, const View& b, const View& out) {
  const abi::Functions& acl = device.acl();
  return MakeScaled(device, {"aclnnSub", acl.aclnnSub}, acl.aclnnSubGetWorkspaceSize, a, b, out);
}

OperatorResult MakeMul(Device& device, const View& a, const View& b, const View& out) {
  const BinaryPlan plan = device.acl().aclnnMulGetWorkspaceSize;
  const auto launch = device.acl().aclnnMul;
  if (plan == nullptr || launch == nullptr) return HasNot("aclnnMul");
  PIPESERVE_ASSIGN_OR_RETURN(Operator::Operands operands, MakeOperands(device, {&a, &b, &out}));
  abi::Tensor* const left = operands.tensors[0].get();
  abi::Tensor* const right = operands.tensors[1].get();
  abi::Tensor* const to = operands.tensors[2].get();
  return std::make_unique<Operator>(
      device, "aclnnMul", std::move(operands),
      [=](uint64_t* size, abi::OpExecutor** executor) {
        return plan(left, right, to, size, executor);
      },
      launch);
}

OperatorResult MakeReduceSum(Device& device, const View& x, const std::vector<int64_t>& axes,
                             bool keep_dims, const View& out) {
  const auto plan = device.acl().aclnnReduceSumGetWorkspaceSize;
  const auto launch = device.acl().aclnnReduceSum;
  if (plan == nullptr || launch == nullptr) return HasNot("aclnnReduceSum");
  PIPESERVE_ASSIGN_OR_RETURN(const abi::AclDataType type, ToAclType(out.type));
  PIPESERVE_ASSIGN_OR_RETURN(Operator::Operands operands, MakeOperands(device, {&x, &out}));
  PIPESERVE_ASSIGN_OR_RETURN(const auto dims, MakeIntArray(device, axes));
  operands.others.push_back(dims);
  abi::Tensor* const in = operands.tensors[0].get();
  abi::Tensor* const to = operands.tensors[1].get();
  return std::make_unique<Operator>(
      device, "aclnnReduceSum", std::move(operands),
      [=, array = dims.get()](uint64_t* size, abi::OpExecutor** executor) {
        return plan(in, array, keep_dims, type, to, size, executor);
      },
      launch);
}

OperatorResult MakeCopy(Device& device, const View& from, const View& to) {
  const auto plan = device.acl().aclnnInplaceCopyGetWorkspaceSize;
  const auto launch = device.acl().aclnnInplaceCopy;
  if (plan == nullptr || launch == nullptr) return HasNot("aclnnInplaceCopy");
  PIPESERVE_ASSIGN_OR_RETURN(Operator::Operands operands, MakeOperands(device, {&from, &to}));
  abi::Tensor* const in = operands.tensors[0].get();
  abi::Tensor* const out = operands.tensors[1].get();
  return std::make_unique<Operator>(
      device, "aclnnInplaceCopy", std::move(operands),
      [=](uint64_t* size, abi::OpExecutor** executor) { return plan(out, in, size, executor); },
      launch);
}

}  // namespace pipeserve::ascend
