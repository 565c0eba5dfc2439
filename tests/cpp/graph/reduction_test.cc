// What a ReduceSum leaves of its operand.
#include "graph/shape_inference.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

constexpr int64_t kUnknown = Shape::kUnknownDim;

std::string Infer(const ReduceAttributes& attributes, const Shape& shape,
                  DataType dtype = DataType::kFloat32) {
  const Node node{OpType::kReduceSum, "sum", {}, {0}, attributes};
  const auto infos = InferNode(node, std::vector<TensorInfo>{{"x", dtype, shape}}, 1);
  return infos.ok() ? infos->front().ToString() : infos.status().message();
}

TEST(ReductionTest, DropsOrKeepsWhatIsSummed) {
  EXPECT_EQ(Infer({{1}, false}, {2, 3, 4}), "float32[2,4]");
  EXPECT_EQ(Infer({{1}, true}, {2, 3, 4}), "float32[2,1,4]");
  EXPECT_EQ(Infer({{-1, 0}, false}, {2, 3, 4}), "float32[3]");
  EXPECT_EQ(Infer({{}, false}, {2, 3, 4}), "float32[]");
  EXPECT_EQ(Infer({{}, true}, {2, 3}), "float32[1,1]");
  EXPECT_EQ(Infer({{}, true}, {}), "float32[]");
}

TEST(ReductionTest, UnknownDimensionsStayOrGo) {
  EXPECT_EQ(Infer({{1}, false}, {kUnknown, 3}), "float32[?]");
  EXPECT_EQ(Infer({{0}, false}, {kUnknown, 3}), "float32[3]");
  EXPECT_EQ(Infer({{0}, true}, {kUnknown, kUnknown}), "float32[1,?]");
}

TEST(ReductionTest, RefusesAxesThatDoNotFit) {
  EXPECT_THAT(Infer({{2}, false}, {2, 3}),
              testing::HasSubstr("sum (ReduceSum): axis 2 is none of"));
  EXPECT_THAT(Infer({{-3}, false}, {2, 3}), testing::HasSubstr("axis -3"));
  EXPECT_THAT(Infer({{0}, false}, {}), testing::HasSubstr("axis 0"));
  EXPECT_THAT(Infer({{1, -1}, false}, {2, 3}), testing::HasSubstr("axes (1,-1)"));
  EXPECT_THAT(Infer({{0}, false}, {2}, DataType::kInt64), testing::HasSubstr("int64"));
}

}  // namespace
}  // namespace pipeserve
