// Numbers in the element types of tensors.
#pragma once

#include <cstddef>
#include <cstdint>

#include "executor/ascend/abi.h"

namespace pipeserve::ascend::sim {

const char* NameOf(abi::AclDataType type);
// 0 for a type that is not known.
size_t SizeOf(abi::AclDataType type);
// float16, float, double: computed with as double and rounded once. All others: as int64.
bool IsReal(abi::AclDataType type);

double LoadReal(abi::AclDataType type, const std::byte* from);
void StoreReal(abi::AclDataType type, std::byte* to, double value);
int64_t LoadInteger(abi::AclDataType type, const std::byte* from);
void StoreInteger(abi::AclDataType type, std::byte* to, int64_t value);

float RoundToHalf(float value);
// As HF32: 11 bits of the mantissa.
float RoundToHf32(float value);

}  // namespace pipeserve::ascend::sim
