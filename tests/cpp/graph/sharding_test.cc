#include "graph/sharding.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <set>

#include "base/str_cat.h"
#include "graph/graph_maker.h"
#include "graph/reference_interpreter.h"
#include "support/fixtures.h"

namespace pipeserve {
namespace {

using testing::ElementsAre;
using Strategies = std::map<size_t, Strategy>;

std::vector<OpType> OpsOf(const Graph& graph) {
  std::vector<OpType> ops;
  for (const Node& node : graph.nodes) ops.push_back(node.op);
  return ops;
}

std::vector<std::string> OpNames(const Graph& graph) {
  std::vector<std::string> names;
  for (const OpType op : OpsOf(graph)) names.emplace_back(OpTypeName(op));
  return names;
}

// Values that differ from element to element.
FloatTensor Numbers(const Shape& shape) {
  FloatTensor tensor{shape, {}};
  for (int64_t i = 0; i < shape.num_elements(); ++i) {
    tensor.data.push_back(static_cast<float>((i * 5 + 1) % 13 - 6) / 2);
  }
  return tensor;
}

// Every rank must return what the whole graph returns. Unknown dimensions are taken as `unknown`.
void ExpectSameResults(const Graph& graph, const Strategies& strategies, int rank_size,
                       int64_t unknown = 5) {
  const Result<ShardedGraph> sharded = ShardGraph(graph, strategies, rank_size);
  ASSERT_OK(sharded);
  ASSERT_EQ(sharded->ranks.size(), static_cast<size_t>(rank_size));
  ASSERT_EQ(sharded->groups.size(), static_cast<size_t>(rank_size));
  std::vector<FloatTensor> inputs;
  for (const ValueId id : graph.inputs) {
    Shape shape = graph.info(id).shape;
    for (size_t i = 0; i < shape.rank(); ++i) {
      if (shape[i] == Shape::kUnknownDim) shape[i] = unknown;
    }
    inputs.push_back(Numbers(shape));
  }
  const auto whole = RunInLockStep({graph}, inputs);
  const auto parts = RunInLockStep(sharded->ranks, inputs);
  ASSERT_OK(whole);
  ASSERT_OK(parts);
  for (const std::vector<FloatTensor>& outputs : *parts) {
    ASSERT_EQ(outputs.size(), graph.outputs.size());
    for (size_t i = 0; i < outputs.size(); ++i) {
      EXPECT_EQ(outputs[i].shape, (*whole)[0][i].shape);
      EXPECT_THAT(outputs[i].data,
                  testing::Pointwise(testing::FloatNear(1e-3f), (*whole)[0][i].data));
    }
  }
}

// The network of the sharded fixtures: -(x w).
Graph NegatedMatMul() {
  GraphMaker maker;
  const ValueId product = maker.MatMul(maker.Input("x", {128, 96}), maker.Weight("w", {96, 16}));
  return maker.Finish({maker.Node1(OpType::kNeg, {product})});
}

// Shapes that each node gives on one rank.
std::vector<Shape> ResultShapes(const Graph& graph) {
  std::vector<Shape> shapes;
  for (const Node& node : graph.nodes) shapes.push_back(graph.info(node.outputs[0]).shape);
  return shapes;
}

TEST(ShardGraphTest, SplitsTheBatchByDefault) {
  const ShardedGraph sharded = *ShardGraph(NegatedMatMul(), {}, 8);
  EXPECT_THAT(OpNames(sharded.ranks[1]), ElementsAre("StridedSlice", "MatMul", "Neg", "AllGather"));
  const auto& slice = std::get<StridedSliceAttributes>(sharded.ranks[1].nodes[0].attributes);
  EXPECT_THAT(slice.begin, ElementsAre(16, 0));
  EXPECT_THAT(slice.end, ElementsAre(32, 96));
  const auto& gather = std::get<CollectiveAttributes>(sharded.ranks[1].nodes[3].attributes);
  EXPECT_EQ(gather.group, "hccl_world_group");
  EXPECT_EQ(gather.rank_size, 8);
  EXPECT_THAT(sharded.groups[1], testing::IsEmpty());
}

TEST(ShardGraphTest, FollowsTheOperandsLayout) {
  const ShardedGraph row = *ShardGraph(NegatedMatMul(), {{0, {{1, 8}, {8, 1}}}}, 8);
  EXPECT_THAT(OpNames(row.ranks[3]), ElementsAre("StridedSlice", "MatMul", "AllReduce", "Neg"));
  const ShardedGraph column = *ShardGraph(NegatedMatMul(), {{0, {{1, 1}, {1, 8}}}}, 8);
  EXPECT_THAT(OpNames(column.ranks[3]),
              ElementsAre("MatMul", "Neg", "AllGather", "Split", "Concat"));
}

TEST(ShardGraphTest, CastsPieces) {
  GraphMaker maker;
  const ValueId x = maker.MatMul(maker.Input("x", {8, 6}), maker.Weight("w", {6, 4}));
  const ValueId half = maker.Node1(OpType::kCast, {x}, CastAttributes{DataType::kFloat16});
  const Graph graph = maker.Finish({half});
  const ShardedGraph sharded = *ShardGraph(graph, {}, 4);
  const Graph& rank = sharded.ranks[1];
  EXPECT_THAT(OpNames(rank), ElementsAre("StridedSlice", "MatMul", "Cast", "AllGather"));
  EXPECT_EQ(rank.info(rank.outputs[0]).ToString(), "float16[8,4]");
  ExpectSameResults(graph, {}, 4);
}

TEST(ShardGraphTest, SubGroupsFollowFromTheDeviceMatrix) {
  const ShardedGraph sharded = *ShardGraph(NegatedMatMul(), {{0, {{2, 2}, {2, 1}}}}, 4);
  const Graph& graph = sharded.ranks[3];
  EXPECT_THAT(OpNames(graph), ElementsAre("StridedSlice", "StridedSlice", "MatMul", "AllReduce",
                                          "Neg", "AllGather"));
  const auto& reduce = std::get<CollectiveAttributes>(graph.nodes[3].attributes);
  EXPECT_THAT(reduce.ranks, ElementsAre(2, 3));
  const auto& gather = std::get<CollectiveAttributes>(graph.nodes[5].attributes);
  EXPECT_THAT(gather.ranks, ElementsAre(1, 3));
  EXPECT_THAT(sharded.groups[3],
              testing::UnorderedElementsAre(testing::Pair(reduce.group, ElementsAre(2, 3)),
                                            testing::Pair(gather.group, ElementsAre(1, 3))));
}

TEST(ShardGraphTest, WeightsAreCutPerRank) {
  const Graph whole = NegatedMatMul();
  const Tensor& weight = whole.constants.begin()->second;
  const ShardedGraph sharded = *ShardGraph(whole, {{0, {{2, 2}, {2, 1}}}}, 4);
  for (int rank = 0; rank < 4; ++rank) {
    const Tensor& piece = sharded.ranks[static_cast<size_t>(rank)].constants.begin()->second;
    EXPECT_EQ(piece.shape(), (Shape{48, 16}));
    EXPECT_EQ(piece.data_as<float>()[5], weight.data_as<float>()[rank % 2 * 48 * 16 + 5]);
  }
}

struct Fixture {
  std::string name;
  std::string folder;
  std::string graph;
  Strategies strategies;
  int rank_size;
};

void PrintTo(const Fixture& fixture, std::ostream* out) { *out << fixture.name; }

class ShardFixtureTest : public testing::TestWithParam<Fixture> {};

// The groups of a graph's collectives, the world under no name: each release names it otherwise.
std::vector<std::string> GroupsOf(const Graph& graph, int rank_size) {
  std::vector<std::string> groups;
  for (const Node& node : graph.nodes) {
    const auto* collective = std::get_if<CollectiveAttributes>(&node.attributes);
    if (collective == nullptr) continue;
    const size_t members = collective->ranks.size();
    const bool world = members == 0 || members == static_cast<size_t>(rank_size);
    groups.push_back(world ? "world" : collective->group);
  }
  return groups;
}

TEST_P(ShardFixtureTest, MatchesMindSporesShards) {
  SKIP_WITHOUT_SHARED_FILES();
  const Fixture& fixture = GetParam();
  const std::filesystem::path folder = SharedFile("mindir/sharded") / fixture.folder;
  const Result<ShardedGraph> sharded =
      ShardGraph(NegatedMatMul(), fixture.strategies, fixture.rank_size);
  ASSERT_OK(sharded);
  for (int rank = 0; rank < fixture.rank_size; ++rank) {
    const std::filesystem::path device = folder / StrCat("device", rank);
    ReadOptions options;
    options.groups = *ReadGroupFile(device / "group_config.pb");
    options.rank_size = fixture.rank_size;
    const Result<Graph> wanted = ReadMindir(device / (fixture.graph + ".mindir"), options);
    ASSERT_OK(wanted);
    const Graph& graph = sharded->ranks[static_cast<size_t>(rank)];
    EXPECT_EQ(OpNames(graph), OpNames(*wanted));
    EXPECT_EQ(ResultShapes(graph), ResultShapes(*wanted));
    EXPECT_EQ(GroupsOf(graph, fixture.rank_size), GroupsOf(*wanted, fixture.rank_size));
    for (size_t i = 0; i < graph.nodes.size() && i < wanted->nodes.size(); ++i) {
      const auto* slice = std::get_if<StridedSliceAttributes>(&graph.nodes[i].attributes);
      if (slice == nullptr) continue;
      const auto& other = std::get<StridedSliceAttributes>(wanted->nodes[i].attributes);
      EXPECT_EQ(slice->begin, other.begin);
      EXPECT_EQ(slice->end, other.end);
    }
  }
}

// MindSpore spreads the batch of a Neg without a strategy over all ranks; said here in so many
// words, because a node without one follows its operand.
INSTANTIATE_TEST_SUITE_P(
    All, ShardFixtureTest,
    testing::Values(
        Fixture{"seed_8_of_1_3", "v1.3-nccl/seed_8", "matmul_0", {}, 8},
        Fixture{"seed_8_of_2_10", "v2.10-hccl/seed_8", "matmul_0", {}, 8},
        Fixture{
            "row_8", "v1.3-nccl/row_8", "matmul_rand", {{0, {{1, 8}, {8, 1}}}, {1, {{8, 1}}}}, 8},
        Fixture{
            "col_8", "v2.10-hccl/col_8", "matmul_rand", {{0, {{1, 1}, {1, 8}}}, {1, {{8, 1}}}}, 8},
        Fixture{
            "mix_4", "v2.10-hccl/mix_4", "matmul_rand", {{0, {{2, 2}, {2, 1}}}, {1, {{4, 1}}}}, 4}),
    [](const auto& info) { return info.param.name; });

TEST(ShardGraphTest, EveryMatMulStrategyGivesTheSameResults) {
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      GraphMaker maker;
      const ValueId x = maker.Input("x", ta ? Shape{8, 16} : Shape{16, 8});
      const ValueId w = maker.Weight("w", tb ? Shape{4, 8} : Shape{8, 4});
      const Graph graph = maker.Finish({maker.MatMul(x, w, ta, tb)});
      for (const auto& [a, b, c] : std::vector<std::array<int64_t, 3>>{
               {1, 1, 1}, {8, 1, 1}, {1, 8, 1}, {1, 1, 4}, {2, 2, 2}, {2, 1, 2}, {1, 2, 2}}) {
        SCOPED_TRACE(StrCat("transposes ", ta, tb, ", ", a, " x ", b, " x ", c));
        const std::vector<int64_t> left = ta ? std::vector{b, a} : std::vector{a, b};
        const std::vector<int64_t> right = tb ? std::vector{c, b} : std::vector{b, c};
        ExpectSameResults(graph, {{0, {left, right}}}, 8);
      }
      ExpectSameResults(graph, {}, 8);
      ExpectSameResults(graph, {}, 3);
      ExpectSameResults(graph, {}, 1);
    }
  }
}

// relu(x w1 + b1) w2 + b2.
Graph Perceptron() {
  GraphMaker maker;
  ValueId x = maker.MatMul(maker.Input("x", {16, 8}), maker.Weight("w1", {8, 32}));
  x = maker.Node1(OpType::kBiasAdd, {x, maker.Weight("b1", {32})});
  x = maker.Node1(OpType::kReLU, {x});
  x = maker.MatMul(x, maker.Weight("w2", {16, 32}), false, true);
  return maker.Finish({maker.Node1(OpType::kBiasAdd, {x, maker.Weight("b2", {16})})});
}

TEST(ShardGraphTest, TwoLayersGiveTheSameResults) {
  const Graph graph = Perceptron();
  ExpectSameResults(graph, {}, 8);
  ExpectSameResults(graph, {{0, {{1, 1}, {1, 8}}}}, 8);
  ExpectSameResults(graph, {{0, {{1, 1}, {1, 4}}}}, 8);
  ExpectSameResults(graph, {{0, {{2, 2}, {2, 2}}}, {3, {{4, 1}, {2, 1}}}}, 8);
  ExpectSameResults(graph, {{0, {{8, 1}, {1, 1}}}, {3, {{1, 8}, {1, 8}}}}, 8);
  ExpectSameResults(graph, {{1, {{2, 4}, {4}}}, {2, {{4, 2}}}, {4, {{1, 4}, {4}}}}, 8);
}

TEST(ShardGraphTest, ColumnsThenRowsNeedOneReduction) {
  const ShardedGraph sharded = *ShardGraph(Perceptron(), {{0, {{1, 1}, {1, 8}}}}, 8);
  EXPECT_THAT(OpNames(sharded.ranks[0]),
              ElementsAre("MatMul", "BiasAdd", "ReLU", "MatMul", "AllReduce", "BiasAdd"));
}

TEST(ShardGraphTest, BroadcastingOperandsAreCutWhereTheyCanBe) {
  for (const Shape& shape :
       {Shape{}, Shape{1}, Shape{8}, Shape{16, 1}, Shape{1, 8}, Shape{16, 8}}) {
    for (const OpType op : {OpType::kAdd, OpType::kSub, OpType::kMul}) {
      SCOPED_TRACE(StrCat(OpTypeName(op), " with ", shape));
      GraphMaker maker;
      const ValueId x = maker.Node1(OpType::kNeg, {maker.Input("x", {16, 8})});
      const ValueId y = maker.Input("y", shape), w = maker.Weight("w", shape);
      const ValueId left = maker.Node1(op, {w, x});
      const Graph graph = maker.Finish({left, maker.Node1(op, {x, y}), maker.Node1(op, {y, left})});
      ExpectSameResults(graph, {}, 4);
      ExpectSameResults(graph, {{0, {{4, 1}}}}, 4);
      ExpectSameResults(graph, {{0, {{1, 4}}}}, 4);
      ExpectSameResults(graph, {{0, {{2, 2}}}}, 8);
    }
  }
}

TEST(ShardGraphTest, OperatorsThatCannotBeCutGatherFirst) {
  GraphMaker maker;
  const ValueId x = maker.MatMul(maker.Input("x", {8, 4}), maker.Weight("w", {4, 8}));
  const ValueId turned = maker.Node1(OpType::kTranspose, {x}, TransposeAttributes{{1, 0}});
  const ValueId flat = maker.Node1(OpType::kReshape, {x}, ReshapeAttributes{{4, -1}});
  const std::vector<ValueId> halves = maker.Nodes(OpType::kSplit, {x}, AxisAttributes{-1}, 2);
  const ValueId joined = maker.Node1(OpType::kConcat, {halves[1], halves[0]}, AxisAttributes{1});
  const ValueId slice = maker.Node1(OpType::kStridedSlice, {x},
                                    StridedSliceAttributes{{1, 0}, {7, 8}, {2, 3}, 0, 0, 0, 0, 0});
  const Graph graph = maker.Finish({turned, flat, joined, slice, x, x});
  for (const Strategy& strategy :
       std::vector<Strategy>{{{4, 1}, {1, 1}}, {{1, 1}, {1, 4}}, {{2, 1}, {1, 2}}}) {
    ExpectSameResults(graph, {{0, strategy}}, 4);
  }
  const ShardedGraph sharded = *ShardGraph(graph, {}, 4);
  const std::vector<OpType> ops = OpsOf(sharded.ranks[0]);
  EXPECT_EQ(std::count(ops.begin(), ops.end(), OpType::kAllGather), 1);
}

TEST(ShardGraphTest, InputsAndConstantsCanBeResults) {
  GraphMaker maker;
  const ValueId x = maker.Input("x", {8, 4}), w = maker.Weight("w", {4, 8});
  const Graph graph = maker.Finish({x, w, maker.MatMul(x, w)});
  ExpectSameResults(graph, {{0, {{1, 4}, {4, 1}}}}, 4);
}

TEST(ShardGraphTest, OneWeightCutTwoWaysKeepsUniqueNames) {
  GraphMaker maker;
  const ValueId x = maker.Input("x", {8, 8}), w = maker.Weight("w", {8, 8});
  const ValueId y = maker.MatMul(maker.MatMul(x, w), w);
  const Graph graph = maker.Finish({y});
  const Strategies strategies = {{0, {{1, 1}, {1, 4}}}, {1, {{1, 4}, {4, 1}}}};
  ExpectSameResults(graph, strategies, 4);
  const ShardedGraph sharded = *ShardGraph(graph, strategies, 4);
  std::set<std::string> names;
  for (const auto& [id, tensor] : sharded.ranks[0].constants) {
    names.insert(sharded.ranks[0].info(id).name);
  }
  EXPECT_EQ(names.size(), 2u);
}

TEST(ShardGraphTest, UnknownDimensionsStayWhole) {
  GraphMaker maker;
  const ValueId x = maker.MatMul(maker.Input("x", {-1, 8}), maker.Weight("w", {8, 4}));
  const Graph graph = maker.Finish({maker.Node1(OpType::kReLU, {x})});
  ExpectSameResults(graph, {}, 4);
  ExpectSameResults(graph, {{0, {{1, 4}, {4, 1}}}}, 4);
  ExpectSameResults(graph, {{0, {{1, 1}, {1, 4}}}}, 4);
  EXPECT_ERROR(ShardGraph(graph, {{0, {{4, 1}, {1, 1}}}}, 4), kInvalidArgument,
               "cuts dimension 0 of operand 0, which is unknown, 4 ways");
}

TEST(ShardGraphTest, RefusesStrategiesThatDoNotFit) {
  const Graph graph = NegatedMatMul();
  const auto matmul = [&](const Strategy& strategy, int rank_size = 8) {
    return ShardGraph(graph, {{0, strategy}}, rank_size);
  };
  EXPECT_ERROR(matmul({{8, 1}}), kInvalidArgument, "has 1 entries, the operator has 2 operands");
  EXPECT_ERROR(matmul({{8}, {1, 1}}), kInvalidArgument,
               "gives operand 0 1 numbers, its shape is [128,96]");
  EXPECT_ERROR(matmul({{0, 1}, {1, 1}}), kInvalidArgument, "holds 0, at least 1 is wanted");
  EXPECT_ERROR(matmul({{-8, 1}, {1, 1}}), kInvalidArgument, "holds -8");
  EXPECT_ERROR(matmul({{5, 1}, {1, 1}}), kInvalidArgument,
               "cuts dimension 0 of operand 0 5 ways, its size is 128");
  EXPECT_ERROR(matmul({{1, 8}, {4, 1}}), kInvalidArgument, "contradicts itself");
  EXPECT_ERROR(matmul({{8, 2}, {2, 1}}), kInvalidArgument,
               "cuts 8 x 2 x 1 ways, which does not divide 8 ranks");
  EXPECT_ERROR(matmul({{2, 1}, {1, 1}}, 3), kInvalidArgument, "does not divide 3 ranks");
  EXPECT_ERROR(matmul({{int64_t{1} << 62, 1}, {1, 1}}), kInvalidArgument, "its size is 128");
  EXPECT_ERROR(ShardGraph(graph, {{2, {{1, 1}}}}, 8), kInvalidArgument, "is given to node 2");
  EXPECT_ERROR(ShardGraph(graph, {}, 0), kInvalidArgument, "over 0 ranks");
  EXPECT_ERROR(ShardGraph(graph, {}, 1'000'000'000), kInvalidArgument, "1 to 4096");
}

TEST(ShardGraphTest, RefusesToCutWhatCannotBeCut) {
  GraphMaker maker;
  const ValueId x = maker.Input("x", {8, 8});
  const Graph graph =
      maker.Finish({maker.Node1(OpType::kTranspose, {x}, TransposeAttributes{{1, 0}})});
  EXPECT_ERROR(ShardGraph(graph, {{0, {{8, 1}}}}, 8), kInvalidArgument,
               "graph net, Transpose0: strategy ((8,1)) is given to Transpose");
  const ShardedGraph sharded = *ShardGraph(NegatedMatMul(), {}, 8);
  EXPECT_ERROR(ShardGraph(sharded.ranks[0], {}, 8), kInvalidArgument, "it is cut already");
}

TEST(ShardGraphTest, RefusesToCutABroadcastDimension) {
  GraphMaker maker;
  const ValueId x = maker.Input("x", {8, 8});
  const Graph graph = maker.Finish({maker.Node1(OpType::kAdd, {x, maker.Weight("w", {1, 8})})});
  EXPECT_ERROR(ShardGraph(graph, {{0, {{8, 1}, {8, 1}}}}, 8), kInvalidArgument,
               "cuts dimension 0 of operand 1 8 ways, its size is 1");
  EXPECT_OK(ShardGraph(graph, {{0, {{8, 1}, {1, 1}}}}, 8));
}

// y = relu(x * a) * b + x, with the second product and the sum in the last stage.
struct StagedNet {
  GraphMaker maker;
  Graph graph;
  std::vector<int> stages;

  explicit StagedNet(int middle = 0) {
    const ValueId x = maker.Input("x", {4, 8});
    const ValueId first = maker.MatMul(x, maker.Weight("a", {8, 8}));
    const ValueId bent = maker.Node1(OpType::kReLU, {first});
    const ValueId second = maker.MatMul(bent, maker.Weight("b", {8, 8}));
    graph = maker.Finish({maker.Node1(OpType::kAdd, {second, x}), bent});
    stages = {0, middle, middle + 1, middle + 1};
  }
};

void ExpectSameResults(const Graph& graph, const Strategies& strategies, int rank_size,
                       const Stages& stages) {
  const Result<ShardedGraph> sharded = ShardGraph(graph, strategies, rank_size, stages);
  ASSERT_OK(sharded);
  const std::vector<FloatTensor> inputs{Numbers({4, 8})};
  const auto whole = RunInLockStep({graph}, inputs);
  const auto parts = RunInLockStep(sharded->ranks, inputs, static_cast<size_t>(stages.count));
  ASSERT_OK(whole);
  ASSERT_OK(parts);
  const size_t width = parts->size() / static_cast<size_t>(stages.count);
  for (size_t rank = 0; rank < parts->size(); ++rank) {
    const Graph& part = sharded->ranks[rank];
    const bool is_last = rank + width >= parts->size();
    EXPECT_EQ(part.outputs.size(), is_last ? graph.outputs.size() : 0);
    EXPECT_EQ(part.inputs.size(), rank < width || stages.all_take_inputs ? 1 : 0);
    for (size_t i = 0; i < part.outputs.size(); ++i) {
      EXPECT_EQ((*parts)[rank][i].data, (*whole)[0][i].data) << "rank " << rank;
    }
  }
}

TEST(ShardGraphTest, StagesHandOnWhatTheNextOnesNeed) {
  for (const bool all_take_inputs : {false, true}) {
    for (const int ranks : {2, 8}) {
      const StagedNet two;
      ExpectSameResults(two.graph, {}, ranks, {2, two.stages, all_take_inputs});
    }
    const StagedNet three(1);
    ExpectSameResults(three.graph, {}, 6, {3, three.stages, all_take_inputs});
  }
}

TEST(ShardGraphTest, EveryRankOfAStageSendsItsPieceToItsCounterpart) {
  const StagedNet net;
  const Strategies strategies{{0, {{1, 1}, {1, 4}}}, {2, {{1, 4}, {4, 1}}}};
  ExpectSameResults(net.graph, strategies, 8, {2, net.stages, true});
  const auto sharded = ShardGraph(net.graph, strategies, 8, {2, net.stages, true});
  ASSERT_OK(sharded);
  for (int32_t rank = 0; rank < 4; ++rank) {
    const Graph& sender = sharded->ranks[rank];
    const Graph& receiver = sharded->ranks[rank + 4];
    const auto is = [](OpType op) { return [op](const Node& node) { return node.op == op; }; };
    const auto send = std::ranges::find_if(sender.nodes, is(OpType::kSend));
    const auto receive = std::ranges::find_if(receiver.nodes, is(OpType::kReceive));
    ASSERT_NE(send, sender.nodes.end());
    ASSERT_NE(receive, receiver.nodes.end());
    const auto& sent = std::get<MessageAttributes>(send->attributes);
    const auto& received = std::get<MessageAttributes>(receive->attributes);
    EXPECT_EQ(sent.peer, rank + 4);
    EXPECT_EQ(received.peer, rank);
    EXPECT_EQ(sent.tag, received.tag);
    EXPECT_EQ(received.shape, (Shape{4, 2}));  // The columns that this rank has computed.
    EXPECT_THAT(sent.group.ranks, ElementsAre(rank, rank + 4));
    EXPECT_EQ(sharded->groups[rank].at(sent.group.group), sent.group.ranks);
    // Collectives stay within the stage.
    const auto sum = std::ranges::find_if(receiver.nodes, is(OpType::kAllReduce));
    ASSERT_NE(sum, receiver.nodes.end());
    EXPECT_THAT(std::get<CollectiveAttributes>(sum->attributes).ranks, ElementsAre(4, 5, 6, 7));
  }
}

TEST(ShardGraphTest, StagesThatCannotBeAreNamed) {
  const StagedNet net;
  const auto error = [&](int ranks, const Stages& stages) {
    return ShardGraph(net.graph, {}, ranks, stages).status();
  };
  EXPECT_ERROR(error(3, {2, net.stages}), kInvalidArgument,
               "3 ranks are not to be had in 2 stages");
  EXPECT_ERROR(error(2, {2, {0, 0, 0, 0}}), kInvalidArgument, "stage 1 of 2 has no operators");
  EXPECT_ERROR(error(1, {1, net.stages}), kInvalidArgument, "is in stage 1 of 1");
  EXPECT_ERROR(error(2, {2, {1, 0, 1, 1}}), kInvalidArgument, "which comes later");
  GraphMaker maker;
  const ValueId x = maker.Input("x", {-1, 8});
  const ValueId y = maker.Node1(OpType::kNeg, {x});
  const Graph unknown = maker.Finish({maker.Node1(OpType::kNeg, {y})});
  EXPECT_ERROR(ShardGraph(unknown, {}, 2, {2, {0, 1}}).status(), kInvalidArgument,
               "float32[?,8], a known shape was wanted");
}

}  // namespace
}  // namespace pipeserve
