#include <fstream>
#include <map>

#include "graph/graph_maker.h"
#include "graph/model_file.h"
#include "mindir.pb.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

// A graph without its names: two are equal when they compute the same in the same way.
std::string Describe(const Graph& graph) {
  std::map<ValueId, std::string> values;
  std::string text;
  for (size_t i = 0; i < graph.inputs.size(); ++i) {
    values[graph.inputs[i]] = StrCat("in", i);
    text += StrCat("in", i, " ", graph.info(graph.inputs[i]).ToString(), "\n");
  }
  for (const auto& [id, tensor] : graph.constants) {
    const std::string bytes(reinterpret_cast<const char*>(tensor.data()), tensor.byte_size());
    values[id] = StrCat(tensor.ToString(), "#", std::hash<std::string>{}(bytes));
  }
  const auto list = [](const std::vector<int64_t>& numbers) { return StrJoin(numbers, ","); };
  for (size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    text += StrCat(OpTypeName(node.op), "(");
    for (const ValueId id : node.inputs) text += values[id] + " ";
    if (const auto* m = std::get_if<MatMulAttributes>(&node.attributes)) {
      text += StrCat("transposes ", m->transpose_a, m->transpose_b);
    } else if (const auto* k = std::get_if<CastAttributes>(&node.attributes)) {
      text += StrCat("to ", k->to);
    } else if (const auto* e = std::get_if<ReduceAttributes>(&node.attributes)) {
      text += StrCat("axes ", list(e->axes), " kept ", e->keep_dims);
    } else if (const auto* r = std::get_if<ReshapeAttributes>(&node.attributes)) {
      text += StrCat("dims ", list(r->dims));
    } else if (const auto* t = std::get_if<TransposeAttributes>(&node.attributes)) {
      text += StrCat("perm ", list(t->perm));
    } else if (const auto* a = std::get_if<AxisAttributes>(&node.attributes)) {
      text += StrCat("axis ", a->axis);
    } else if (const auto* s = std::get_if<StridedSliceAttributes>(&node.attributes)) {
      text += StrCat(list(s->begin), ":", list(s->end), ":", list(s->strides), " masks ",
                     s->begin_mask, " ", s->end_mask, " ", s->ellipsis_mask, " ", s->new_axis_mask,
                     " ", s->shrink_axis_mask);
    } else if (const auto* c = std::get_if<CollectiveAttributes>(&node.attributes)) {
      text += StrCat("group ", c->group, " of ", StrJoin(c->ranks, "-"), " size ", c->rank_size);
    }
    text += ") ->";
    for (size_t k = 0; k < node.outputs.size(); ++k) {
      values[node.outputs[k]] = StrCat("n", i, ".", k);
      text += StrCat(" n", i, ".", k, " ", graph.info(node.outputs[k]).ToString());
    }
    text += "\n";
  }
  for (const ValueId id : graph.outputs) text += StrCat("out ", values[id], "\n");
  return text;
}

class WriteMindirTest : public testing::Test {
 protected:
  std::filesystem::path Path() const { return directory_.path() / "net.mindir"; }

  void ExpectRoundTrip(const Graph& graph, const ReadOptions& options = {}) {
    ASSERT_OK(WriteMindir(graph, Path()));
    const Result<Graph> read = ReadMindir(Path(), options);
    ASSERT_OK(read);
    EXPECT_EQ(Describe(*read), Describe(graph));
  }

  mindir::ModelProto Written() const {
    mindir::ModelProto model;
    std::ifstream in(Path(), std::ios::binary);
    EXPECT_TRUE(model.ParseFromIstream(&in));
    return model;
  }

  TestFolder directory_;
};

TEST_F(WriteMindirTest, EveryComputingOperatorComesBack) {
  GraphMaker maker;
  const ValueId x = maker.Input("x", {4, 6}), w = maker.Weight("w", {6, 5});
  const ValueId product = maker.MatMul(x, w);
  const ValueId turned = maker.MatMul(product, x, true, false);
  const ValueId biased = maker.Node1(OpType::kBiasAdd, {turned, maker.Weight("b", {6})});
  const ValueId active = maker.Node1(OpType::kReLU, {biased});
  const ValueId scaled = maker.Node1(OpType::kMul, {active, maker.Weight("s", {})});
  const ValueId sum = maker.Node1(OpType::kAdd, {scaled, maker.Weight("row", {1, 6})});
  const ValueId less = maker.Node1(OpType::kSub, {sum, active});
  const ValueId rows = maker.Node1(OpType::kReduceSum, {less}, ReduceAttributes{{-1}, true});
  const ValueId all = maker.Node1(OpType::kReduceSum, {less}, ReduceAttributes{});
  const ValueId whole = maker.Node1(OpType::kCast, {less}, CastAttributes{DataType::kInt32});
  const ValueId again = maker.Node1(OpType::kCast, {whole}, CastAttributes{DataType::kFloat16});
  ExpectRoundTrip(maker.Finish({maker.Node1(OpType::kNeg, {less}), rows, all, whole, again}));
}

TEST_F(WriteMindirTest, EveryMovingOperatorComesBack) {
  GraphMaker maker;
  const ValueId x = maker.Input("x", {4, 6});
  const ValueId flat = maker.Node1(OpType::kReshape, {x}, ReshapeAttributes{{2, -1, 3}});
  const ValueId turned = maker.Node1(OpType::kTranspose, {flat}, TransposeAttributes{{2, 0, 1}});
  const std::vector<ValueId> parts = maker.Nodes(OpType::kSplit, {turned}, AxisAttributes{-3}, 3);
  const ValueId joined =
      maker.Node1(OpType::kConcat, {parts[2], parts[0], parts[1]}, AxisAttributes{2});
  const ValueId slice =
      maker.Node1(OpType::kStridedSlice, {joined},
                  StridedSliceAttributes{{0, 1, -1}, {1, 2, -9}, {1, 1, -2}, 1, 2, 0, 0, 1});
  ExpectRoundTrip(maker.Finish({slice, parts[1]}));
}

TEST_F(WriteMindirTest, CollectivesComeBack) {
  Graph graph;
  graph.name = "net";
  const ValueId x = graph.AddValue({"x", DataType::kFloat32, {4, 6}});
  const ValueId sum = graph.AddValue({"", DataType::kFloat32, {4, 6}});
  const ValueId all = graph.AddValue({"", DataType::kFloat32, {8, 6}});
  const std::vector<int32_t> pair = {1, 3};
  graph.nodes.push_back(
      {OpType::kAllReduce, "", {x}, {sum}, CollectiveAttributes{"2-77", pair, 2}});
  graph.nodes.push_back(
      {OpType::kAllGather, "", {sum}, {all}, CollectiveAttributes{"2-77", pair, 2}});
  graph.inputs = {x};
  graph.outputs = {all};
  ReadOptions options;
  options.groups["2-77"] = pair;
  options.rank_size = 4;
  ASSERT_OK(WriteMindir(graph, Path()));
  const Result<Graph> read = ReadMindir(Path(), options);
  ASSERT_OK(read);
  ASSERT_EQ(read->nodes.size(), 2u);
  for (const Node& node : read->nodes) {
    const auto& collective = std::get<CollectiveAttributes>(node.attributes);
    EXPECT_EQ(collective.group, "2-77");
    EXPECT_EQ(collective.ranks, pair);
  }
  EXPECT_EQ(read->info(read->outputs[0]).shape, (Shape{8, 6}));
}

TEST_F(WriteMindirTest, MessagesComeBack) {
  const MessageAttributes message{.tag = 3,
                                  .peer = 3,
                                  .group = {"2-77", {1, 3}, 0},
                                  .dtype = DataType::kFloat16,
                                  .shape = {2, 5}};
  ReadOptions options;
  options.groups["2-77"] = {1, 3};
  options.rank_size = 4;
  for (const bool has_output : {false, true}) {
    Graph graph;
    graph.name = "net";
    const ValueId x = graph.AddValue({"x", DataType::kFloat32, {4, 6}});
    const ValueId came = graph.AddValue({"", DataType::kFloat16, {2, 5}});
    graph.nodes.push_back({OpType::kReceive, "", {}, {came}, message});
    graph.nodes.push_back({OpType::kSend, "", {came}, {}, message});
    graph.nodes.push_back({OpType::kSend, "", {x}, {}, message});
    graph.inputs = {x};
    if (has_output) graph.outputs = {came};
    ASSERT_OK(WriteMindir(graph, Path()));
    const Result<Graph> read = ReadMindir(Path(), options);
    ASSERT_OK(read);
    ASSERT_EQ(read->outputs.size(), graph.outputs.size());
    const GraphSignature signature = SignatureOf(*read);
    ASSERT_EQ(signature.messages.size(), 3u);
    EXPECT_EQ(signature.messages[0], (MessageInfo{false, 3, 3, DataType::kFloat16, {2, 5}}));
    EXPECT_EQ(signature.messages[1], (MessageInfo{true, 3, 3, DataType::kFloat16, {2, 5}}));
    EXPECT_EQ(signature.messages[2], (MessageInfo{true, 3, 3, DataType::kFloat32, {4, 6}}));
    EXPECT_EQ(std::get<MessageAttributes>(read->nodes[0].attributes).group.ranks,
              (std::vector<int32_t>{1, 3}));
  }
}

TEST_F(WriteMindirTest, RankOfAMessageOutsideOfItsGroupIsNamed) {
  Graph graph;
  graph.name = "net";
  const ValueId x = graph.AddValue({"x", DataType::kFloat32, {4}});
  graph.nodes.push_back({OpType::kSend,
                         "",
                         {x},
                         {},
                         MessageAttributes{.peer = 5, .group = {"hccl_world_group", {}, 0}}});
  graph.inputs = {x};
  ASSERT_OK(WriteMindir(graph, Path()));
  ReadOptions options;
  options.rank_size = 4;
  EXPECT_ERROR(ReadMindir(Path(), options), kInvalidArgument,
               "dest_rank is 5, group hccl_world_group has 4 ranks");
}

TEST_F(WriteMindirTest, InputsAndConstantsCanBeResults) {
  GraphMaker maker;
  const ValueId x = maker.Input("x", {2}), w = maker.Weight("w", {3});
  ExpectRoundTrip(maker.Finish({w, x, w}));
  GraphMaker plain;
  const ValueId y = plain.Input("y", {2});
  ExpectRoundTrip(plain.Finish({y}));
}

TEST_F(WriteMindirTest, UnknownDimensionsAndOtherTypesComeBack) {
  Graph graph;
  graph.name = "net";
  const ValueId x = graph.AddValue({"x", DataType::kInt32, {-1, 6}});
  const ValueId w = graph.AddValue({"w", DataType::kInt32, {6}});
  const ValueId y = graph.AddValue({"", DataType::kInt32, {-1, 6}});
  graph.constants[w] = Tensor::Of<int32_t>({6}, {-1, 2, -3, 4, -5, 1 << 30});
  graph.nodes.push_back({OpType::kAdd, "", {x, w}, {y}, {}});
  graph.inputs = {x};
  graph.outputs = {y};
  ExpectRoundTrip(graph);
}

TEST_F(WriteMindirTest, WhatWasReadCanBeWrittenAgain) {
  GraphMaker maker;
  const ValueId x = maker.MatMul(maker.Input("x", {2, 3}), maker.Weight("w", {3, 4}));
  const Graph graph = maker.Finish({maker.Node1(OpType::kNeg, {x})});
  ExpectRoundTrip(graph);
  const Result<Graph> read = ReadMindir(Path());
  ASSERT_OK(read);
  ExpectRoundTrip(*read);
}

TEST_F(WriteMindirTest, HasTheStructureThatMindSporeWrites) {
  GraphMaker maker;
  ValueId x = maker.MatMul(maker.Input("x", {2, 3}), maker.Weight("w", {3, 4}));
  x = maker.Node1(OpType::kBiasAdd, {x, maker.Weight("b", {4})});
  ASSERT_OK(WriteMindir(maker.Finish({x}), Path()));
  const mindir::ModelProto model = Written();
  EXPECT_EQ(model.ir_version(), "0.1.0");
  EXPECT_EQ(model.producer_name(), "MindSpore");
  EXPECT_EQ(model.model_version(), "1.1.0");
  std::vector<std::string> ops;
  for (const mindir::NodeProto& node : model.graph().node()) ops.push_back(node.op_type());
  EXPECT_THAT(ops, testing::ElementsAre("Constant", "Load", "MatMul", "Constant", "Load", "BiasAdd",
                                        "MakeTuple", "Constant", "UpdateState", "Depend"));
  const mindir::NodeProto& matmul = model.graph().node(2);
  EXPECT_EQ(matmul.input(0), "net:x");
  EXPECT_EQ(matmul.attribute(0).ref_attr_name(), "shape:shape1,");
  EXPECT_EQ(model.graph().node(1).input(0), "net:w");
  EXPECT_EQ(model.graph().output(0).name(), model.graph().node(9).output(0));
}

TEST_F(WriteMindirTest, RefusesGraphsThatAFileCannotHold) {
  GraphMaker maker;
  const ValueId x = maker.Input("x", {2});
  Graph graph = maker.Finish({});
  EXPECT_ERROR(WriteMindir(graph, Path()), kInvalidArgument, "graph net has no output");
  graph.outputs = {x};
  graph.name.clear();
  EXPECT_ERROR(WriteMindir(graph, Path()), kInvalidArgument, "no name");
  GraphMaker twice;
  twice.Weight("x", {2});
  const Graph doubled = twice.Finish({twice.Input("x", {2})});
  EXPECT_ERROR(WriteMindir(doubled, Path()), kInvalidArgument, "uses the name x twice");
  EXPECT_FALSE(std::filesystem::exists(Path()));
}

TEST_F(WriteMindirTest, RefusesTextWeights) {
  GraphMaker maker;
  Graph graph = maker.Finish({maker.Input("x", {2})});
  const ValueId text = graph.AddValue({"t", DataType::kString, {}});
  graph.constants[text] = Tensor::FromString(DataType::kString, "hello");
  EXPECT_ERROR(WriteMindir(graph, Path()), kInvalidArgument, "constant net:t is string[]");
}

}  // namespace
}  // namespace pipeserve
