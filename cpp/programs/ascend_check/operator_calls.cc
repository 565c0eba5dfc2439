#include "operator_calls.h"

#include <algorithm>
#include <utility>

#include "base/str_cat.h"

namespace pipeserve::ascend::check {
namespace {

constexpr int64_t kRows = 64, kInner = 96, kColumns = 48;

int8_t CubeType(Precision precision) {
  return precision == Precision::kFloat16 ? abi::kCubeFloat16 : abi::kCubeKeepType;
}

View WholeOf(const DeviceBlock& block, std::vector<int64_t> dims) {
  return View::Whole(block.data(), DataType::kFloat32, std::move(dims));
}

}  // namespace

Status OperatorCall::Plan(Device& device, uint64_t* size, abi::OpExecutor** executor) const {
  return device.Check((name + "GetWorkspaceSize").c_str(), plan(size, executor));
}

Status OperatorCall::Launch(Session& session, uint64_t size, abi::OpExecutor* executor,
                            abi::Stream* stream) const {
  PIPESERVE_ASSIGN_OR_RETURN(std::byte* const scratch, session.workspace().Ensure(size));
  return session.device().Check(name.c_str(),
                                launch(size == 0 ? nullptr : scratch, size, executor, stream));
}

Status OperatorCall::Run(Session& session) const {
  uint64_t size = 0;
  abi::OpExecutor* executor = nullptr;
  PIPESERVE_RETURN_IF_ERROR(Plan(session.device(), &size, &executor));
  return Launch(session, size, executor, session.stream().handle());
}

Result<std::unique_ptr<OperatorCalls>> OperatorCalls::Create(Session& session) {
  std::unique_ptr<OperatorCalls> calls(new OperatorCalls(session));
  PIPESERVE_RETURN_IF_ERROR(calls->Fill());
  return calls;
}

const OperatorCall* OperatorCalls::Find(const std::string& name) const {
  const auto found = std::find_if(calls_.begin(), calls_.end(),
                                  [&](const OperatorCall& call) { return call.name == name; });
  return found == calls_.end() ? nullptr : &*found;
}

Status OperatorCalls::Fill() {
  PIPESERVE_ASSIGN_OR_RETURN(x_, session_.Upload(RandomFloats(kRows * kInner, 1)));
  PIPESERVE_ASSIGN_OR_RETURN(w_, session_.Upload(RandomFloats(kInner * kColumns, 2)));
  PIPESERVE_ASSIGN_OR_RETURN(same_, session_.Upload(RandomFloats(kRows * kInner, 3)));
  PIPESERVE_ASSIGN_OR_RETURN(product_, session_.Upload(RandomFloats(kRows * kColumns, 4)));
  PIPESERVE_ASSIGN_OR_RETURN(sum_, session_.Upload(RandomFloats(kRows, 5)));
  PIPESERVE_RETURN_IF_ERROR(AddMatMul());
  PIPESERVE_RETURN_IF_ERROR(AddUnary());
  PIPESERVE_RETURN_IF_ERROR(AddBinary());
  return AddOthers();
}

// `arguments(plan, operands)` is `plan` with all its arguments but the last two.
template <typename PlanFunction, typename Arguments>
Status OperatorCalls::Add(const char* name, PlanFunction plan, Operator::LaunchPhase launch,
                          std::vector<View> views, const DeviceBlock& out, Arguments arguments) {
  if (plan == nullptr || launch == nullptr) {
    missing_[name] = "the runtime has no such function";
    return OkStatus();
  }
  OperatorCall call;
  call.name = name;
  for (const View& view : views) {
    PIPESERVE_ASSIGN_OR_RETURN(TensorHandle tensor, TensorHandle::Create(session_.device(), view));
    call.operands.tensors.push_back(std::move(tensor));
  }
  call.plan = arguments(plan, call.operands);
  call.launch = launch;
  call.out = &out;
  call.out_count = static_cast<size_t>(views.back().element_count());
  calls_.push_back(std::move(call));
  return OkStatus();
}

Status OperatorCalls::AddMatMul() {
  const abi::Functions& acl = session_.device().acl();
  const Result<Precision> precision = session_.MatMulPrecision();
  if (!precision.ok()) {
    missing_["aclnnMatmul"] = precision.status().message();
    return OkStatus();
  }
  return Add("aclnnMatmul", acl.aclnnMatmulGetWorkspaceSize, acl.aclnnMatmul,
             {WholeOf(x_, {kRows, kInner}), WholeOf(w_, {kInner, kColumns}),
              WholeOf(product_, {kRows, kColumns})},
             product_, [cube = CubeType(*precision)](auto plan, Operator::Operands& operands) {
               abi::Tensor *const a = operands[0], *const b = operands[1], *const to = operands[2];
               return [=](uint64_t* size, abi::OpExecutor** executor) {
                 return plan(a, b, to, cube, size, executor);
               };
             });
}

Status OperatorCalls::AddUnary() {
  const abi::Functions& acl = session_.device().acl();
  const auto unary = [](auto plan, Operator::Operands& operands) {
    abi::Tensor *const x = operands[0], *const to = operands[1];
    return [=](uint64_t* size, abi::OpExecutor** executor) { return plan(x, to, size, executor); };
  };
  const std::vector<View> views = {WholeOf(x_, {kRows, kInner}), WholeOf(same_, {kRows, kInner})};
  const Product& product = session_.device().product();
  if (product.has_neg()) {
    PIPESERVE_RETURN_IF_ERROR(
        Add("aclnnNeg", acl.aclnnNegGetWorkspaceSize, acl.aclnnNeg, views, same_, unary));
  } else {
    missing_["aclnnNeg"] = "the product has none";
  }
  // A product that has neither this nor Add has a Neg.
  if (!product.has_neg() || product.CheckOperator(OpType::kAdd).ok()) {
    PIPESERVE_ASSIGN_OR_RETURN(const auto factor, MakeScalar(-1));
    const auto scaled = [&factor](auto plan, Operator::Operands& operands) {
      operands.others.push_back(factor);
      abi::Tensor *const x = operands[0], *const to = operands[1];
      return [=, scalar = factor.get()](uint64_t* size, abi::OpExecutor** executor) {
        return plan(x, scalar, to, size, executor);
      };
    };
    PIPESERVE_RETURN_IF_ERROR(
        Add("aclnnMuls", acl.aclnnMulsGetWorkspaceSize, acl.aclnnMuls, views, same_, scaled));
  }
  return Add("aclnnRelu", acl.aclnnReluGetWorkspaceSize, acl.aclnnRelu, views, same_, unary);
}

Status OperatorCalls::AddBinary() {
  const abi::Functions& acl = session_.device().acl();
  const std::vector<View> views = {WholeOf(x_, {kRows, kInner}), WholeOf(x_, {kRows, kInner}),
                                   WholeOf(same_, {kRows, kInner})};
  const Status arithmetic = session_.device().product().CheckOperator(OpType::kAdd);
  if (arithmetic.ok()) {
    PIPESERVE_ASSIGN_OR_RETURN(const auto alpha, MakeScalar(1));
    const auto scaled = [&alpha](auto plan, Operator::Operands& operands) {
      operands.others.push_back(alpha);
      abi::Tensor *const a = operands[0], *const b = operands[1], *const to = operands[2];
      return [=, scalar = alpha.get()](uint64_t* size, abi::OpExecutor** executor) {
        return plan(a, b, scalar, to, size, executor);
      };
    };
    PIPESERVE_RETURN_IF_ERROR(
        Add("aclnnAdd", acl.aclnnAddGetWorkspaceSize, acl.aclnnAdd, views, same_, scaled));
    PIPESERVE_RETURN_IF_ERROR(
        Add("aclnnSub", acl.aclnnSubGetWorkspaceSize, acl.aclnnSub, views, same_, scaled));
  } else {
    missing_["aclnnAdd"] = arithmetic.message();
    missing_["aclnnSub"] = arithmetic.message();
  }
  return Add("aclnnMul", acl.aclnnMulGetWorkspaceSize, acl.aclnnMul, views, same_,
             [](auto plan, Operator::Operands& operands) {
               abi::Tensor *const a = operands[0], *const b = operands[1], *const to = operands[2];
               return [=](uint64_t* size, abi::OpExecutor** executor) {
                 return plan(a, b, to, size, executor);
               };
             });
}

Status OperatorCalls::AddOthers() {
  Device& device = session_.device();
  const abi::Functions& acl = device.acl();
  const int64_t axis = 1;
  const std::shared_ptr<abi::IntArray> axes(
      acl.aclCreateIntArray(&axis, 1),
      [&device](abi::IntArray* array) { (void)PIPESERVE_ACL(device, aclDestroyIntArray, array); });
  if (axes == nullptr) return Internal("aclCreateIntArray gave nothing");
  PIPESERVE_RETURN_IF_ERROR(
      Add("aclnnReduceSum", acl.aclnnReduceSumGetWorkspaceSize, acl.aclnnReduceSum,
          {WholeOf(x_, {kRows, kInner}), WholeOf(sum_, {kRows})}, sum_,
          [&axes](auto plan, Operator::Operands& operands) {
            operands.others.push_back(axes);
            abi::Tensor *const x = operands[0], *const to = operands[1];
            return [=, dims = axes.get()](uint64_t* size, abi::OpExecutor** executor) {
              return plan(x, dims, false, abi::AclDataType::kFloat, to, size, executor);
            };
          }));
  // What the backend copies with it: a view whose elements do not lie in a row.
  return Add("aclnnInplaceCopy", acl.aclnnInplaceCopyGetWorkspaceSize, acl.aclnnInplaceCopy,
             {WholeOf(x_, {kRows, kInner}).Transposed({1, 0}), WholeOf(same_, {kInner, kRows})},
             same_, [](auto plan, Operator::Operands& operands) {
               abi::Tensor *const from = operands[0], *const to = operands[1];
               return [=](uint64_t* size, abi::OpExecutor** executor) {
                 return plan(to, from, size, executor);
               };
             });
}

Result<std::shared_ptr<abi::Scalar>> OperatorCalls::MakeScalar(float value) {
  Device& device = session_.device();
  abi::Scalar* const scalar = device.acl().aclCreateScalar(&value, abi::AclDataType::kFloat);
  if (scalar == nullptr) return Internal("aclCreateScalar gave nothing");
  return std::shared_ptr<abi::Scalar>(scalar, [&device](abi::Scalar* each) {
    (void)PIPESERVE_ACL(device, aclDestroyScalar, each);
  });
}

}  // namespace pipeserve::ascend::check
