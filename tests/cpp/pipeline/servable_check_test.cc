#include "pipeline/servable_check.h"

#include "support/matchers.h"

namespace pipeserve {
namespace {

TensorInfo Float(Shape shape) { return {"", DataType::kFloat32, shape}; }

// Graph 0: two inputs, one output. Graph 1: one input, two outputs.
std::vector<GraphSignature> Graphs() {
  return {{{Float({2}), Float({2})}, {Float({2})}}, {{Float({2})}, {Float({2}), Float({2})}}};
}

HostStep Host(std::vector<DataSource> inputs, int output_count) {
  return {FindNativeFunction("argmax_cpp"), std::move(inputs), output_count};
}

// x1, x2 -> graph 0 -> y.
MethodSpec PlainMethod(std::string name = "fun1") {
  MethodSpec method;
  method.name = std::move(name);
  method.input_names = {"x1", "x2"};
  method.output_names = {"y"};
  method.graph = {0, {{Phase::kInput, 0}, {Phase::kInput, 1}}, 1};
  method.outputs = {{Phase::kPredict, 0}};
  return method;
}

// x1, x2 -> preprocess -> graph 1 -> postprocess -> one value of each phase.
MethodSpec FullMethod() {
  MethodSpec method = PlainMethod("full");
  method.preprocess = Host({{Phase::kInput, 1}, {Phase::kInput, 0}}, 2);
  method.graph = {1, {{Phase::kPreprocess, 1}}, 2};
  method.postprocess = Host({{Phase::kPredict, 1}, {Phase::kPreprocess, 0}, {Phase::kInput, 0}}, 3);
  method.output_names = {"a", "b", "c", "d"};
  method.outputs = {
      {Phase::kInput, 1}, {Phase::kPreprocess, 1}, {Phase::kPredict, 1}, {Phase::kPostprocess, 2}};
  return method;
}

Status Check(std::vector<MethodSpec> methods, std::vector<PipelineSpec> pipelines = {}) {
  ServableSpec spec;
  spec.name = "matmul";
  spec.methods = std::move(methods);
  spec.pipelines = std::move(pipelines);
  return CheckServable(spec, Graphs());
}

PipelineSpec Pipeline(std::string name) {
  return {std::move(name), {"x"}, {"y"}, FindNativeFunction("argmax_cpp")};
}

TEST(ServableCheckTest, AcceptsEveryWayThatPointsBackwards) {
  EXPECT_OK(Check({PlainMethod(), FullMethod()}));
  // The names of pipelines and methods do not collide.
  EXPECT_OK(Check({PlainMethod("predict")}, {Pipeline("predict")}));
}

TEST(ServableCheckTest, NeedsSomethingToCall) {
  EXPECT_ERROR(Check({}), kInvalidArgument, "There is no method registered for servable matmul");
}

TEST(ServableCheckTest, PipelinesNeedNoMethodAndNoGraph) {
  ServableSpec spec;
  spec.name = "pure";
  spec.pipelines = {Pipeline("predict")};
  EXPECT_OK(CheckServable(spec, Graphs()));
  EXPECT_OK(CheckServable(spec, {}));
  spec.methods = {PlainMethod()};
  EXPECT_ERROR(CheckServable(spec, {}), kInvalidArgument, "Total Load Graph number is 0");
}

TEST(ServableCheckTest, NamesArePresentAndUnique) {
  EXPECT_ERROR(Check({PlainMethod(), PlainMethod()}), kInvalidArgument,
               "Method fun1 has been registered more than once.");
  EXPECT_ERROR(Check({PlainMethod()}, {Pipeline("p"), Pipeline("p")}), kInvalidArgument,
               "Pipeline p has been registered more than once.");
  EXPECT_ERROR(Check({PlainMethod("")}), kInvalidArgument, "Method without a name");
  EXPECT_ERROR(Check({PlainMethod()}, {Pipeline("")}), kInvalidArgument, "Pipeline without a name");

  MethodSpec repeated = PlainMethod();
  repeated.input_names = {"x", "x"};
  EXPECT_ERROR(Check({repeated}), kInvalidArgument,
               "Method fun1, input 'x' should not be repeated");
  MethodSpec unnamed = PlainMethod();
  unnamed.output_names = {""};
  EXPECT_ERROR(Check({unnamed}), kInvalidArgument, "Method fun1 has an output without a name");
  PipelineSpec pipeline = Pipeline("p");
  pipeline.output_names = {"y", "y"};
  EXPECT_ERROR(Check({PlainMethod()}, {pipeline}), kInvalidArgument, "output 'y'");

  ServableSpec nameless;
  nameless.methods = {PlainMethod()};
  EXPECT_ERROR(CheckServable(nameless, Graphs()), kInvalidArgument, "without a name");
}

TEST(ServableCheckTest, PipelineNeedsAFunction) {
  PipelineSpec pipeline = Pipeline("p");
  pipeline.function = nullptr;
  EXPECT_ERROR(Check({PlainMethod()}, {pipeline}), kInvalidArgument, "Pipeline p has no function");
}

TEST(ServableCheckTest, SubgraphExists) {
  for (const int subgraph : {2, -1}) {
    MethodSpec method = PlainMethod();
    method.graph.subgraph = subgraph;
    EXPECT_ERROR(
        Check({method}), kInvalidArgument,
        "Total Load Graph number is 2, Method fun1 subgrah is " + std::to_string(subgraph));
  }
}

TEST(ServableCheckTest, GraphStepHasTheGraphsCounts) {
  MethodSpec method = PlainMethod();
  method.graph.inputs.push_back({Phase::kInput, 0});
  EXPECT_ERROR(
      Check({method}), kInvalidArgument,
      "The inputs count 3 registered in method not equal to the count 2 defined in servable");
  method = PlainMethod();
  method.graph.output_count = 2;
  EXPECT_ERROR(
      Check({method}), kInvalidArgument,
      "The outputs count 2 registered in method not equal to the count 1 defined in servable");
  method.graph.output_count = -1;
  EXPECT_ERROR(Check({method}), kInvalidArgument, "The outputs count -1 registered");
}

TEST(ServableCheckTest, ValuesComeFromEarlierPhases) {
  MethodSpec method = FullMethod();
  method.preprocess.inputs[1] = {Phase::kPreprocess, 0};
  EXPECT_ERROR(Check({method}), kInvalidArgument,
               "method full, the data of preprocess 1th input cannot not come from 'Preprocess'");
  method = FullMethod();
  method.graph.inputs[0] = {Phase::kPostprocess, 0};
  EXPECT_ERROR(Check({method}), kInvalidArgument,
               "method full, the data of servable 0th input cannot not come from 'Postprocess'");
  method = FullMethod();
  method.postprocess.inputs[0] = {Phase::kPostprocess, 0};
  EXPECT_ERROR(Check({method}), kInvalidArgument,
               "method full, the data of postprocess 0th input cannot not come from 'Postprocess'");
}

TEST(ServableCheckTest, ValuesExist) {
  MethodSpec method = FullMethod();
  method.preprocess.inputs[0].index = 2;
  EXPECT_ERROR(Check({method}), kInvalidArgument,
               "the Preprocess 0th input uses Input 2th input, that is greater than the Input "
               "inputs size 2");
  method = FullMethod();
  method.graph.inputs[0].index = 2;
  EXPECT_ERROR(Check({method}), kInvalidArgument,
               "the Predict 0th input uses Preprocess 2th output, that is greater than the "
               "Preprocess outputs size 2");
  method = FullMethod();
  method.postprocess.inputs[0].index = -1;
  EXPECT_ERROR(Check({method}), kInvalidArgument,
               "the Postprocess 0th input uses Predict -1th output, that is less than 0");
  method = FullMethod();
  method.outputs[3].index = 3;
  EXPECT_ERROR(Check({method}), kInvalidArgument,
               "the method 3th output uses Postprocess 3th output, that is greater than the "
               "Postprocess outputs size 3");
}

TEST(ServableCheckTest, AnAbsentStepHasNoValues) {
  MethodSpec method = PlainMethod();
  method.graph.inputs[1] = {Phase::kPreprocess, 0};
  EXPECT_ERROR(Check({method}), kInvalidArgument, "the Preprocess outputs size 0");
  method = PlainMethod();
  method.outputs[0] = {Phase::kPostprocess, 0};
  EXPECT_ERROR(Check({method}), kInvalidArgument, "the Postprocess outputs size 0");
}

TEST(ServableCheckTest, OutputCountsFit) {
  MethodSpec method = PlainMethod();
  method.output_names.push_back("z");
  EXPECT_ERROR(Check({method}), kInvalidArgument,
               "Method return output size 1 not match registered 2");
  method = FullMethod();
  method.preprocess.output_count = -1;
  EXPECT_ERROR(Check({method}), kInvalidArgument, "preprocess declares -1 outputs");
}

}  // namespace
}  // namespace pipeserve
