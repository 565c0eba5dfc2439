#include "products.h"

#include <algorithm>
#include <initializer_list>

namespace pipeserve::ascend::sim {
namespace {

using abi::AclDataType;
using abi::HcclDataType;

bool Runs(Function function, Product product) {
  switch (function) {
    case Function::aclnnMatmulGetWorkspaceSize:
      return product != Product::k310B;
    case Function::aclnnNegGetWorkspaceSize:
      return product != Product::k310P;
    case Function::aclnnMulsGetWorkspaceSize:
      return product != Product::k310B;
    case Function::aclnnAddGetWorkspaceSize:
    case Function::aclnnSubGetWorkspaceSize:
      return product == Product::k910B || product == Product::k910;
    default:
      return true;  // Of the others nothing is known.
  }
}

bool In(AclDataType type, std::initializer_list<AclDataType> types) {
  return std::find(types.begin(), types.end(), type) != types.end();
}

bool TakesType(Function function, AclDataType type) {
  switch (function) {
    case Function::aclnnMatmulGetWorkspaceSize:
      return In(type, {AclDataType::kFloat16, AclDataType::kFloat});
    case Function::aclnnNegGetWorkspaceSize:
      return In(type, {AclDataType::kInt8, AclDataType::kInt32, AclDataType::kInt64,
                       AclDataType::kFloat16, AclDataType::kFloat, AclDataType::kDouble});
    default:
      return true;
  }
}

Failure NotHere(Call& call, const std::string& what) {
  return call.Break("6", codes::kWrongArgument,
                    Text(call.name(), ' ', what, " does not run on ", call.core.settings.soc));
}

}  // namespace

Product ProductOf(const std::string& soc) {
  if (soc.starts_with("Ascend910B") || soc.starts_with("Ascend910_93")) return Product::k910B;
  if (soc.starts_with("Ascend310P")) return Product::k310P;
  if (soc.starts_with("Ascend310B")) return Product::k310B;
  return Product::k910;
}

std::optional<Failure> CheckProduct(Call& call, const Plan& plan) {
  if (!Runs(call.function(), ProductOf(call.core.settings.soc))) return NotHere(call, "");
  for (const auto& input : plan.inputs) {
    if (TakesType(call.function(), input->view.type)) continue;
    return NotHere(call, Text("of ", NameOf(input->view.type)));
  }
  return std::nullopt;
}

std::optional<Failure> CheckCubeType(Call& call, AclDataType type, int8_t cube_math_type) {
  const bool large = ProductOf(call.core.settings.soc) == Product::k910B;
  switch (cube_math_type) {
    case abi::kCubeKeepType:
      if (type == AclDataType::kFloat && !large) return NotHere(call, "of true float32");
      return std::nullopt;
    case abi::kCubeFloat16:
      return std::nullopt;
    case abi::kCubeHf32:
      if (!large) return NotHere(call, "in HF32");
      return std::nullopt;
    default:
      return call.Break("6", codes::kWrongArgument,
                        Text(call.name(), " with cube type ", static_cast<int>(cube_math_type),
                             ", whose meaning depends on the product"));
  }
}

bool ReducesType(Product product, HcclDataType type) {
  switch (type) {
    case HcclDataType::kInt8:
    case HcclDataType::kInt32:
    case HcclDataType::kFloat16:
    case HcclDataType::kFloat:
      return true;
    case HcclDataType::kInt64:
      return product != Product::k310P;
    case HcclDataType::kInt16:
      return product != Product::k910;
    default:
      return false;
  }
}

}  // namespace pipeserve::ascend::sim
