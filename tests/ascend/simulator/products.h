// Which operator and type runs on which product.
#pragma once

#include <optional>

#include "operator.h"

namespace pipeserve::ascend::sim {

enum class Product { k910B, k910, k310P, k310B };

Product ProductOf(const std::string& soc);

// Reports rule 6 when the operator of a phase 1 does not run on the product, or not with the type.
std::optional<Failure> CheckProduct(Call& call, const Plan& plan);

// The same for how a MatMul is to compute.
std::optional<Failure> CheckCubeType(Call& call, abi::AclDataType type, int8_t cube_math_type);

// Whether the collective takes the type there.
bool ReducesType(Product product, abi::HcclDataType type);

}  // namespace pipeserve::ascend::sim
