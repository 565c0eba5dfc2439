#include "graph/shape_inference.h"

#include "support/matchers.h"

namespace pipeserve {
namespace {

constexpr int64_t kUnknown = Shape::kUnknownDim;

TensorInfo F32(const Shape& shape) { return {"x", DataType::kFloat32, shape}; }
TensorInfo I64(const Shape& shape) { return {"x", DataType::kInt64, shape}; }

Node MakeNode(OpType op, Attributes attributes = {}, size_t outputs = 1) {
  return {op, "node", {}, std::vector<ValueId>(outputs), std::move(attributes)};
}

// The result of one node, as text; the error's text when there is none.
std::string Infer(const Node& node, std::vector<TensorInfo> inputs, int rank_size = 1) {
  const auto outputs = InferNode(node, inputs, rank_size);
  return outputs.ok() ? outputs->front().ToString() : outputs.status().message();
}

using testing::HasSubstr;

TEST(ShapeInferenceTest, MatMul) {
  const Node plain = MakeNode(OpType::kMatMul, MatMulAttributes{});
  EXPECT_EQ(Infer(plain, {F32({128, 96}), F32({96, 16})}), "float32[128,16]");
  EXPECT_EQ(Infer(plain, {F32({kUnknown, kUnknown}), F32({96, 16})}), "float32[?,16]");
  EXPECT_EQ(Infer(MakeNode(OpType::kMatMul, MatMulAttributes{true, true}),
                  {F32({96, 128}), F32({16, 96})}),
            "float32[128,16]");
  EXPECT_THAT(Infer(plain, {F32({128, 95}), F32({96, 16})}),
              HasSubstr("node (MatMul): shapes [128,95] and [96,16] do not multiply"));
  EXPECT_THAT(Infer(plain, {F32({2, 3, 4}), F32({4, 5})}), HasSubstr("two dimensions each"));
  EXPECT_THAT(Infer(plain, {I64({2, 3}), I64({3, 4})}), HasSubstr("float32, float16 or int32"));
  EXPECT_THAT(Infer(plain, {F32({2, 3}), {"y", DataType::kFloat16, {3, 4}}}),
              HasSubstr("one data type"));
  EXPECT_THAT(Infer(plain, {F32({2, 3})}), HasSubstr("has 1 operands, wants 2"));
  EXPECT_THAT(Infer(MakeNode(OpType::kMatMul), {F32({2, 3}), F32({3, 4})}),
              HasSubstr("attributes are missing"));
  const int64_t large = int64_t{1} << 40;
  EXPECT_THAT(Infer(plain, {F32({large, 1}), F32({1, large})}), HasSubstr("too large"));
}

TEST(ShapeInferenceTest, Broadcasting) {
  const Node add = MakeNode(OpType::kAdd);
  EXPECT_EQ(Infer(add, {F32({4, 1, 6}), F32({5, 1})}), "float32[4,5,6]");
  EXPECT_EQ(Infer(add, {F32({}), F32({3})}), "float32[3]");
  EXPECT_EQ(Infer(add, {F32({kUnknown, 6}), F32({1, 6})}), "float32[?,6]");
  EXPECT_EQ(Infer(add, {F32({kUnknown}), F32({7})}), "float32[7]");
  EXPECT_THAT(Infer(add, {F32({4}), F32({5})}), HasSubstr("do not broadcast"));
}

TEST(ShapeInferenceTest, CastKeepsTheShape) {
  const Node node = MakeNode(OpType::kCast, CastAttributes{DataType::kFloat16});
  EXPECT_EQ(Infer(node, {F32({2, kUnknown})}), "float16[2,?]");
  EXPECT_EQ(Infer(node, {I64({})}), "float16[]");
  EXPECT_EQ(Infer(node, {{"x", DataType::kBool, {3}}}), "float16[3]");
  EXPECT_THAT(Infer(node, {{"x", DataType::kString, {3}}}),
              HasSubstr("node (Cast): casts string to float16, two types of numbers were wanted"));
  EXPECT_THAT(Infer(MakeNode(OpType::kCast, CastAttributes{}), {F32({2})}),
              HasSubstr("casts float32 to unknown"));
  EXPECT_THAT(Infer(MakeNode(OpType::kCast), {F32({2})}), HasSubstr("attributes are missing"));
}

TEST(ShapeInferenceTest, BiasAdd) {
  const Node node = MakeNode(OpType::kBiasAdd);
  EXPECT_EQ(Infer(node, {F32({2, 3, 4}), F32({3})}), "float32[2,3,4]");
  EXPECT_EQ(Infer(node, {F32({kUnknown, kUnknown}), F32({3})}), "float32[?,3]");
  EXPECT_THAT(Infer(node, {F32({2, 3}), F32({4})}), HasSubstr("bias of shape [4]"));
  EXPECT_THAT(Infer(node, {F32({3}), F32({3})}), HasSubstr("does not fit dimension 1"));
}

TEST(ShapeInferenceTest, Reshape) {
  const auto reshape = [](std::vector<int64_t> dims) {
    return MakeNode(OpType::kReshape, ReshapeAttributes{std::move(dims)});
  };
  EXPECT_EQ(Infer(reshape({2, -1}), {I64({3, 4})}), "int64[2,6]");
  EXPECT_EQ(Infer(reshape({-1}), {F32({kUnknown, 4})}), "float32[?]");
  EXPECT_EQ(Infer(reshape({}), {F32({1, 1})}), "float32[]");
  EXPECT_THAT(Infer(reshape({5, -1}), {F32({3, 4})}), HasSubstr("cannot take shape [5,?]"));
  EXPECT_THAT(Infer(reshape({5}), {F32({3, 4})}), HasSubstr("cannot take shape [5]"));
  EXPECT_THAT(Infer(reshape({-1, -1}), {F32({3, 4})}), HasSubstr("several unknowns"));
  EXPECT_THAT(Infer(reshape({0, -1}), {F32({0, 4})}), HasSubstr("cannot take"));
  EXPECT_THAT(Infer(reshape({-7}), {F32({7})}), HasSubstr("dimension -7"));
}

TEST(ShapeInferenceTest, Transpose) {
  const auto transpose = [](std::vector<int64_t> perm) {
    return MakeNode(OpType::kTranspose, TransposeAttributes{std::move(perm)});
  };
  EXPECT_EQ(Infer(transpose({2, 0, 1}), {I64({2, 3, 4})}), "int64[4,2,3]");
  for (const std::vector<int64_t>& perm :
       {std::vector<int64_t>{0, 1}, {0, 1, 1}, {0, 1, 3}, {0, -1, 1}, {0, 1, 2, 0}}) {
    EXPECT_THAT(Infer(transpose(perm), {F32({2, 3, 4})}), HasSubstr("is no permutation"));
  }
}

TEST(ShapeInferenceTest, ConcatAndSplit) {
  const Node concat = MakeNode(OpType::kConcat, AxisAttributes{-1});
  EXPECT_EQ(Infer(concat, {F32({2, 3}), F32({2, 4}), F32({2, 1})}), "float32[2,8]");
  EXPECT_EQ(Infer(concat, {F32({2, kUnknown}), F32({kUnknown, 4})}), "float32[2,?]");
  EXPECT_THAT(Infer(concat, {F32({2, 3}), F32({3, 3})}), HasSubstr("do not join"));
  EXPECT_THAT(Infer(concat, {F32({2, 3}), I64({2, 3})}), HasSubstr("do not join"));
  EXPECT_THAT(Infer(concat, {}), HasSubstr("has 0 operands"));
  EXPECT_THAT(Infer(MakeNode(OpType::kConcat, AxisAttributes{2}), {F32({2, 3})}),
              HasSubstr("axis 2 is none"));
  EXPECT_THAT(Infer(concat, {F32({INT64_MAX}), F32({2})}), HasSubstr("too large"));

  const Node split = MakeNode(OpType::kSplit, AxisAttributes{0}, 4);
  EXPECT_EQ(Infer(split, {F32({8, 3})}), "float32[2,3]");
  EXPECT_EQ(InferNode(split, std::vector{F32({8, 3})}, 1)->size(), 4u);
  EXPECT_EQ(Infer(split, {F32({kUnknown, 3})}), "float32[?,3]");
  EXPECT_THAT(Infer(split, {F32({9, 3})}), HasSubstr("into 4 equal parts"));
  EXPECT_THAT(Infer(MakeNode(OpType::kSplit, AxisAttributes{0}, 0), {F32({8})}),
              HasSubstr("into 0 equal parts"));
}

TEST(ShapeInferenceTest, Collectives) {
  const Node world = MakeNode(OpType::kAllGather, CollectiveAttributes{"hccl_world_group", {}, 8});
  EXPECT_EQ(Infer(world, {I64({16, 2})}, 8), "int64[128,2]");
  EXPECT_EQ(Infer(world, {I64({kUnknown, 2})}, 8), "int64[?,2]");
  EXPECT_THAT(Infer(world, {I64({16})}, 4), HasSubstr("has 4 ranks here, the graph wants 8"));
  EXPECT_THAT(Infer(world, {I64({})}, 8), HasSubstr("scalar"));
  EXPECT_THAT(Infer(world, {I64({INT64_MAX / 4})}, 8), HasSubstr("too large"));
  const Node pair = MakeNode(OpType::kAllReduce, CollectiveAttributes{"2-1", {1, 3}, 0});
  EXPECT_EQ(Infer(pair, {F32({4})}, 4), "float32[4]");
  EXPECT_THAT(Infer(pair, {F32({4})}, 3), HasSubstr("names rank 3 of 3"));
  EXPECT_THAT(Infer(pair, {I64({4})}, 4), HasSubstr("float32, float16 or int32"));
}

// y = Neg(x) with x declared float32[?,3].
Graph NegGraph() {
  Graph graph;
  graph.name = "neg";
  const ValueId x = graph.AddValue({"x", DataType::kFloat32, {kUnknown, 3}});
  const ValueId y = graph.AddValue({"y", DataType::kFloat32, {kUnknown, 3}});
  graph.inputs = {x};
  graph.nodes.push_back({OpType::kNeg, "neg", {x}, {y}, {}});
  graph.outputs = {y};
  return graph;
}

TEST(ShapeInferenceTest, GraphTakesTheShapesOfACall) {
  const auto infos = InferShapes(NegGraph(), std::vector{F32({5, kUnknown})}, 1);
  ASSERT_OK(infos);
  EXPECT_EQ((*infos)[1], (TensorInfo{"y", DataType::kFloat32, {5, 3}}));
}

TEST(ShapeInferenceTest, GraphRefusesInputsThatDoNotFit) {
  EXPECT_ERROR(InferShapes(NegGraph(), std::vector{F32({5, 4})}, 1), kInvalidArgument,
               "input x is float32[5,4], float32[?,3] was wanted");
  EXPECT_ERROR(InferShapes(NegGraph(), std::vector{I64({5, 3})}, 1), kInvalidArgument, "int64");
  EXPECT_ERROR(InferShapes(NegGraph(), std::vector{F32({3})}, 1), kInvalidArgument, "wanted");
  EXPECT_ERROR(InferShapes(NegGraph(), {}, 1), kInvalidArgument, "wants 1 inputs, 0 came");
}

TEST(ShapeInferenceTest, GraphRefusesBrokenLinks) {
  const std::vector<TensorInfo> inputs = {F32({5, 3})};
  Graph late = NegGraph();
  late.nodes[0].inputs = {1};
  EXPECT_ERROR(InferShapes(late, inputs, 1), kInvalidArgument, "read before");
  Graph twice = NegGraph();
  twice.nodes[0].outputs = {0};
  EXPECT_ERROR(InferShapes(twice, inputs, 1), kInvalidArgument, "defined twice");
  Graph outside = NegGraph();
  outside.nodes[0].outputs = {7};
  EXPECT_ERROR(InferShapes(outside, inputs, 1), kInvalidArgument, "not in the graph");
  Graph output = NegGraph();
  output.outputs = {-1};
  EXPECT_ERROR(InferShapes(output, inputs, 1), kInvalidArgument, "read before");
  Graph input = NegGraph();
  input.inputs = {9};
  EXPECT_ERROR(InferShapes(input, inputs, 1), kInvalidArgument, "not in the graph");
}

TEST(InferNodeTest, MessagesHaveOneEndHere) {
  const TensorInfo x{"x", DataType::kFloat32, {2, 3}};
  MessageAttributes message{.tag = 4, .peer = 1, .dtype = DataType::kInt32, .shape = {5}};
  const Node send{OpType::kSend, "send", {0}, {}, message};
  const auto nothing = InferNode(send, std::span(&x, 1), 2);
  ASSERT_OK(nothing);
  EXPECT_TRUE(nothing->empty());
  Node receive{OpType::kReceive, "receive", {}, {0}, message};
  const auto came = InferNode(receive, {}, 2);
  ASSERT_OK(came);
  EXPECT_EQ(came->front().dtype, DataType::kInt32);
  EXPECT_EQ(came->front().shape, Shape{5});
  EXPECT_ERROR(InferNode(send, std::span(&x, 1), 1), kInvalidArgument,
               "message 4 names rank 1 of 1 ranks");
  EXPECT_ERROR(InferNode(receive, std::span(&x, 1), 2), kInvalidArgument, "wants 0");
  message.shape = {-1};
  receive.attributes = message;
  EXPECT_ERROR(InferNode(receive, {}, 2), kInvalidArgument,
               "message 4 is int32[?], numbers of a known shape were wanted");
}

}  // namespace
}  // namespace pipeserve
