#include "pipeline/servable_check.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using ::testing::ElementsAre;

TEST(GraphMethodTest, HandsItsInputsToTheGraphAndReturnsWhatItGives) {
  const MethodSpec method = GraphMethod("step", 1, {"state", "token"}, {"next"});
  EXPECT_EQ(method.name, "step");
  EXPECT_THAT(method.input_names, ElementsAre("state", "token"));
  EXPECT_THAT(method.output_names, ElementsAre("next"));
  EXPECT_EQ(method.graph.subgraph, 1);
  EXPECT_EQ(method.graph.output_count, 1);
  EXPECT_THAT(method.graph.inputs,
              ElementsAre(DataSource{Phase::kInput, 0}, DataSource{Phase::kInput, 1}));
  EXPECT_THAT(method.outputs, ElementsAre(DataSource{Phase::kPredict, 0}));
  EXPECT_EQ(method.preprocess.function, nullptr);
  EXPECT_EQ(method.postprocess.function, nullptr);
}

TEST(GraphMethodTest, FitsTheGraphOfThatManyInputsAndOutputs) {
  const TensorInfo info{"", DataType::kFloat32, {2}};
  const std::vector<GraphSignature> graphs = {{{info, info}, {info}}};
  ServableSpec spec{.name = "lm", .methods = {GraphMethod("step", 0, {"a", "b"}, {"c"})}};
  EXPECT_OK(CheckServable(spec, graphs));
  spec.methods = {GraphMethod("step", 0, {"a"}, {"c"})};
  EXPECT_ERROR(CheckServable(spec, graphs), kInvalidArgument, "inputs count 1");
}

}  // namespace
}  // namespace pipeserve
