// What the families of Ascend processors can and cannot compute.
#pragma once

#include <string>
#include <string_view>

#include "graph/graph.h"
#include "pipeserve/status.h"

namespace pipeserve::ascend {

// How a float32 MatMul computes.
enum class Precision {
  kStrict,   // In float32.
  kHf32,     // With 10 bits of mantissa; inputs and results stay float32.
  kFloat16,  // In float16.
};

// "strict", "hf32", "fp16". Errors: kInvalidArgument.
Result<Precision> ParsePrecision(std::string_view name);
const char* PrecisionName(Precision precision);

// By the tables of the operators' manuals. One that is not known is taken for one that can do all,
// and tells by itself what it cannot.
class Product {
 public:
  Product() = default;
  // `soc` is what aclrtGetSocName() says: "Ascend910B1", "Ascend310P3", ...
  explicit Product(std::string soc);

  const std::string& soc() const { return soc_; }

  // Errors: kFailedPrecondition (it cannot compute a MatMul of float32 as `precision` wants),
  // kUnimplemented (of that type not at all); the message says what it can.
  Status CheckMatMul(DataType type, Precision precision) const;
  // Whether it has a Neg; without one a product with -1 stands in for it.
  bool has_neg() const;
  // Errors: kUnimplemented.
  Status CheckOperator(OpType op) const;

 private:
  enum class Family { kUnknown, k910, k910B, k310P, k310B };
  static Family FamilyOf(std::string_view soc);

  std::string soc_;
  Family family_ = Family::kUnknown;
};

}  // namespace pipeserve::ascend
