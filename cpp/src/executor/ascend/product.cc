#include "executor/ascend/product.h"

#include <utility>

#include "base/str_cat.h"

namespace pipeserve::ascend {

Result<Precision> ParsePrecision(std::string_view name) {
  if (name == "strict") return Precision::kStrict;
  if (name == "hf32") return Precision::kHf32;
  if (name == "fp16") return Precision::kFloat16;
  return InvalidArgument(StrCat("precision is ", name, ", it must be strict, hf32 or fp16"));
}

const char* PrecisionName(Precision precision) {
  switch (precision) {
    case Precision::kStrict:
      return "strict";
    case Precision::kHf32:
      return "hf32";
    case Precision::kFloat16:
      return "fp16";
  }
  return "";
}

Product::Product(std::string soc) : soc_(std::move(soc)), family_(FamilyOf(soc_)) {}

Product::Family Product::FamilyOf(std::string_view soc) {
  // The longer names first: those of one family begin like those of another.
  constexpr std::pair<std::string_view, Family> kFamilies[] = {
      {"Ascend910B", Family::k910B}, {"Ascend910_93", Family::k910B}, {"Ascend910", Family::k910},
      {"Ascend310P", Family::k310P}, {"Ascend310B", Family::k310B},
  };
  for (const auto& [prefix, family] : kFamilies) {
    if (soc.starts_with(prefix)) return family;
  }
  return Family::kUnknown;
}

Status Product::CheckMatMul(DataType type, Precision precision) const {
  if (type != DataType::kFloat32 && type != DataType::kFloat16) {
    return Unimplemented(
        StrCat("MatMul of ", DataTypeName(type), " is none that ", soc_, " has: float32, float16"));
  }
  if (family_ == Family::k310B) return Unimplemented(StrCat(soc_, " has no MatMul"));
  if (type == DataType::kFloat16 || precision == Precision::kFloat16) return OkStatus();
  if (family_ == Family::k910 || family_ == Family::k310P) {
    return FailedPrecondition(
        StrCat(soc_, " computes a MatMul of float32 in float16 only: precision must be fp16"));
  }
  return OkStatus();
}

bool Product::has_neg() const { return family_ != Family::k310P; }

Status Product::CheckOperator(OpType op) const {
  const bool few = family_ == Family::k310P || family_ == Family::k310B;
  const bool arithmetic = op == OpType::kAdd || op == OpType::kSub || op == OpType::kBiasAdd;
  if (few && arithmetic) return Unimplemented(StrCat(soc_, " has no ", OpTypeName(op)));
  return OkStatus();
}

}  // namespace pipeserve::ascend
