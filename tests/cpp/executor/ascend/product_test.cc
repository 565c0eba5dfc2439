#include "executor/ascend/product.h"

#include "support/matchers.h"

namespace pipeserve::ascend {
namespace {

TEST(ProductTest, RefusesFloat32WhereItWouldBeRounded) {
  for (const char* soc : {"Ascend910ProB", "Ascend310P3"}) {
    const Product product(soc);
    for (const Precision precision : {Precision::kStrict, Precision::kHf32}) {
      EXPECT_ERROR(product.CheckMatMul(DataType::kFloat32, precision), kFailedPrecondition,
                   "in float16 only: precision must be fp16");
    }
    EXPECT_OK(product.CheckMatMul(DataType::kFloat32, Precision::kFloat16));
    EXPECT_OK(product.CheckMatMul(DataType::kFloat16, Precision::kStrict));
  }
  for (const char* soc : {"Ascend910B1", "Ascend910_9392"}) {
    EXPECT_OK(Product(soc).CheckMatMul(DataType::kFloat32, Precision::kStrict));
  }
}

TEST(ProductTest, RefusesWhatItHasNot) {
  EXPECT_ERROR(Product("Ascend910B1").CheckMatMul(DataType::kInt32, Precision::kStrict),
               kUnimplemented, "MatMul of int32");
  EXPECT_ERROR(Product("Ascend310B4").CheckMatMul(DataType::kFloat16, Precision::kStrict),
               kUnimplemented, "Ascend310B4 has no MatMul");
  EXPECT_ERROR(Product("Ascend310P3").CheckOperator(OpType::kAdd), kUnimplemented,
               "Ascend310P3 has no Add");
  EXPECT_OK(Product("Ascend910B1").CheckOperator(OpType::kAdd));
  EXPECT_FALSE(Product("Ascend310P3").has_neg());
  EXPECT_TRUE(Product("Ascend910B1").has_neg());
}

TEST(ProductTest, TakesOneThatItDoesNotKnowForOneThatCanDoAll) {
  const Product product("Ascend2030");
  EXPECT_OK(product.CheckMatMul(DataType::kFloat32, Precision::kStrict));
  EXPECT_OK(product.CheckOperator(OpType::kSub));
}

TEST(ProductTest, PrecisionsHaveNames) {
  EXPECT_EQ(*ParsePrecision("hf32"), Precision::kHf32);
  EXPECT_ERROR(ParsePrecision("fast"), kInvalidArgument,
               "precision is fast, it must be strict, hf32 or fp16");
}

}  // namespace
}  // namespace pipeserve::ascend
