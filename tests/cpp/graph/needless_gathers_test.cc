#include "graph/needless_gathers.h"

#include <algorithm>

#include "graph/graph_maker.h"
#include "graph/model_file.h"
#include "graph/reference_interpreter.h"
#include "graph/sharding.h"
#include "support/fixtures.h"

namespace pipeserve {
namespace {

using testing::ElementsAre;

constexpr int kRanks = 4;

std::vector<std::string> OpNames(const Graph& graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes) names.emplace_back(OpTypeName(node.op));
  return names;
}

// How a test departs from what exports hold.
struct Variant {
  std::vector<int32_t> reduced_by = {};      // Empty: all ranks.
  int64_t shift = 0;                         // Ranks whose rows are taken instead of the own.
  OpType between = OpType::kNeg;             // After the slice.
  bool result_of_between_is_output = false;  // Somebody else reads it.
};

// One rank's graph, as MindSpore lays out -relu(x w) with the rows of w spread over the ranks.
Graph GraphOf(int rank, const Variant& variant = {}) {
  const CollectiveAttributes all{"hccl_world_group", {}, kRanks};
  CollectiveAttributes reduced_by = all;
  if (!variant.reduced_by.empty()) {
    reduced_by = {"some", variant.reduced_by, static_cast<int64_t>(variant.reduced_by.size())};
  }
  GraphMaker maker("net", kRanks);
  const ValueId x = maker.Input("x", {8, 3});
  const ValueId product = maker.MatMul(x, maker.Weight("w", {3, 2}));
  const ValueId sum = maker.Node1(OpType::kAllReduce, {product}, reduced_by);
  const int64_t part = (rank + variant.shift) % kRanks;
  StridedSliceAttributes rows;
  rows.begin = {part * 2, 0};
  rows.end = {part * 2 + 2, 2};
  rows.strides = {1, 1};
  const ValueId own = maker.Node1(OpType::kStridedSlice, {sum}, rows);
  const ValueId relu = maker.Node1(OpType::kReLU, {own});
  const ValueId result = maker.Node1(variant.between, variant.between == OpType::kAdd
                                                          ? std::vector<ValueId>{relu, relu}
                                                          : std::vector<ValueId>{relu});
  const ValueId gathered = maker.Node1(OpType::kAllGather, {result}, all);
  std::vector<ValueId> outputs = {gathered};
  if (variant.result_of_between_is_output) outputs.push_back(result);
  return maker.Finish(outputs);
}

std::vector<Graph> GraphsOfAllRanks() {
  std::vector<Graph> graphs;
  for (int rank = 0; rank < kRanks; ++rank) graphs.push_back(GraphOf(rank));
  return graphs;
}

TEST(NeedlessGathersTest, RanksThatHoldTheWholeDoNotMeetForIt) {
  std::vector<Graph> graphs = GraphsOfAllRanks();
  const std::string output = graphs[0].info(graphs[0].outputs[0]).name;
  std::vector<float> numbers(24);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<float>(i % 7) - 3;
  const std::vector<FloatTensor> inputs = {{Shape{8, 3}, numbers}};
  const auto before = RunInLockStep(graphs, inputs);
  for (int rank = 0; rank < kRanks; ++rank) {
    DropNeedlessGathers(rank, kRanks, &graphs[static_cast<size_t>(rank)]);
  }
  const auto after = RunInLockStep(graphs, inputs);
  ASSERT_OK(before);
  ASSERT_OK(after);
  for (size_t rank = 0; rank < graphs.size(); ++rank) {
    EXPECT_THAT(OpNames(graphs[rank]), ElementsAre("MatMul", "AllReduce", "ReLU", "Neg"));
    EXPECT_EQ(graphs[rank].info(graphs[rank].outputs[0]).name, output);
    EXPECT_EQ((*after)[rank][0].shape, (*before)[rank][0].shape);
    EXPECT_EQ((*after)[rank][0].data, (*before)[rank][0].data);
  }
}

TEST(NeedlessGathersTest, ValuesMayBeJoinedBeforeTheyAreCut) {
  GraphMaker maker("net", 2);
  const CollectiveAttributes all{"hccl_world_group", {}, 2};
  const ValueId stacked = maker.Node1(OpType::kAllGather, {maker.Input("x", {4, 2})}, all);
  const auto parts = maker.Nodes(OpType::kSplit, {stacked}, AxisAttributes{0}, 2);
  const ValueId joined = maker.Node1(OpType::kConcat, parts, AxisAttributes{0});
  StridedSliceAttributes rows;
  rows.begin = {4, 0};
  rows.end = {8, 2};
  rows.strides = {1, 1};
  const ValueId own = maker.Node1(OpType::kStridedSlice, {joined}, rows);
  const ValueId neg = maker.Node1(OpType::kNeg, {own});
  Graph graph = maker.Finish({maker.Node1(OpType::kAllGather, {neg}, all)});
  DropNeedlessGathers(1, 2, &graph);
  EXPECT_THAT(OpNames(graph), ElementsAre("AllGather", "Split", "Concat", "Neg"));
}

TEST(NeedlessGathersTest, WhatDiffersStays) {
  const Variant others_reduced{.reduced_by = {0, 1}};
  const Variant rows_of_others{.shift = 1};
  const Variant not_elementwise{.between = OpType::kAdd};
  const Variant read_twice{.result_of_between_is_output = true};
  for (const Variant& variant : {others_reduced, rows_of_others, not_elementwise, read_twice}) {
    Graph graph = GraphOf(1, variant);
    const auto ops = OpNames(graph);
    DropNeedlessGathers(1, kRanks, &graph);
    EXPECT_EQ(OpNames(graph), ops);
  }
}

TEST(NeedlessGathersTest, ARankOutsideOfTheGroupChangesNothing) {
  Graph graph = GraphOf(1);
  const auto ops = OpNames(graph);
  DropNeedlessGathers(kRanks, kRanks, &graph);
  EXPECT_EQ(OpNames(graph), ops);
}

TEST(NeedlessGathersTest, MindSporesOwnExportsHoldThem) {
  SKIP_WITHOUT_SHARED_FILES();
  const auto gathers_left = [](const std::string& folder) -> std::ptrdiff_t {
    const auto device = SharedFile("mindir/sharded") / folder / "device3";
    const auto groups = ReadGroupFile(device / "group_config.pb");
    EXPECT_OK(groups);
    auto graph = ReadMindir(device / "matmul_rand.mindir", {{}, *groups, 8});
    EXPECT_OK(graph);
    DropNeedlessGathers(3, 8, &*graph);
    return std::ranges::count(graph->nodes, OpType::kAllGather, &Node::op);
  };
  EXPECT_EQ(gathers_left("v1.3-nccl/row_8"), 0);
  EXPECT_EQ(gathers_left("v2.10-hccl/col_8"), 1);  // The first, which makes the tensor whole.
}

}  // namespace
}  // namespace pipeserve
