#include "pipeserve/graph_builder.h"

#include <array>
#include <filesystem>

#include "base/str_cat.h"
#include "graph/model_file.h"
#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;

constexpr DataType kFloat = DataType::kFloat32;

Tensor Weight(const Shape& shape) {
  Tensor tensor(kFloat, shape);
  for (int64_t i = 0; i < shape.num_elements(); ++i) {
    tensor.mutable_data_as<float>()[i] = static_cast<float>(i);
  }
  return tensor;
}

TEST(GraphBuilderTest, TellsShapesAtOnce) {
  GraphBuilder builder("net");
  const auto x = *builder.Input("x", kFloat, {-1, 6});
  const auto y = *builder.MatMul(x, *builder.Parameter("w", Weight({5, 6})), false, true);
  EXPECT_EQ(builder.Info(y)->ToString(), "float32[?,5]");
  const std::array<int64_t, 2> perm = {1, 0};
  EXPECT_EQ(builder.Info(*builder.Transpose(y, perm))->ToString(), "float32[5,?]");
  EXPECT_EQ(builder.Info(*builder.Cast(y, DataType::kBool))->ToString(), "bool[?,5]");
  const auto parts = *builder.Split(x, 1, 3);
  ASSERT_EQ(parts.size(), 3u);
  EXPECT_EQ(builder.Info(parts[2])->ToString(), "float32[?,2]");
}

TEST(GraphBuilderTest, RefusesOperandsThatDoNotFit) {
  GraphBuilder builder("net");
  const auto x = *builder.Input("x", kFloat, {4, 6});
  const auto n = *builder.Input("n", DataType::kInt32, {4, 6});
  EXPECT_ERROR(builder.MatMul(x, x), kInvalidArgument, "[4,6]");
  EXPECT_OK(builder.MatMul(x, x, false, true));
  EXPECT_ERROR(builder.Add(x, n), kInvalidArgument, "int32[4,6]");
  EXPECT_ERROR(builder.BiasAdd(x, x), kInvalidArgument, "[4,6]");
  EXPECT_ERROR(builder.Cast(x, DataType::kString), kInvalidArgument, "float32 to string");
  EXPECT_ERROR(builder.Neg(77), kInvalidArgument, "77 is no value of graph net");
  EXPECT_ERROR(builder.Neg(-1), kInvalidArgument, "-1 is no value of graph net");
  EXPECT_ERROR(builder.Output(77), kInvalidArgument, "77 is no value");
  EXPECT_ERROR(builder.Info(77), kInvalidArgument, "77 is no value");
  EXPECT_ERROR(builder.Concat({}, 0), kInvalidArgument, "Concat");
  EXPECT_ERROR(builder.Split(x, 1, 4), kInvalidArgument, "Split");
  EXPECT_ERROR(builder.Split(x, 1, 0), kInvalidArgument, "Split into 0 parts");
  EXPECT_ERROR(builder.Split(x, 1, int64_t{1} << 60), kInvalidArgument, "parts");
  const std::array<int64_t, 1> one = {7};
  EXPECT_ERROR(builder.Reshape(x, one), kInvalidArgument, "Reshape");
  EXPECT_ERROR(builder.Transpose(x, one), kInvalidArgument, "Transpose");
}

TEST(GraphBuilderTest, RefusedOperatorLeavesNoTrace) {
  GraphBuilder builder("net");
  const auto x = *builder.Input("x", kFloat, {4, 6});
  EXPECT_ERROR(builder.MatMul(x, x), kInvalidArgument, "MatMul");
  const auto y = *builder.Neg(x);
  EXPECT_EQ(y, x + 1);
}

TEST(GraphBuilderTest, RefusesNamesUsedTwiceAndBadTensors) {
  GraphBuilder builder("net");
  ASSERT_OK(builder.Input("x", kFloat, {2}));
  EXPECT_ERROR(builder.Input("x", kFloat, {2}), kInvalidArgument, "uses the name x twice");
  EXPECT_ERROR(builder.Parameter("x", Weight({2})), kInvalidArgument, "uses the name x twice");
  EXPECT_ERROR(builder.Input("", kFloat, {2}), kInvalidArgument, "no name");
  EXPECT_ERROR(builder.Input("y", kFloat, {-2}), kInvalidArgument, "dimension -2");
  EXPECT_ERROR(builder.Input("y", DataType::kString, {2}), kInvalidArgument, "input y is string");
  EXPECT_ERROR(builder.Parameter("w", Tensor(kFloat, {3}, Buffer::Allocate(8))), kInvalidArgument,
               "parameter w: float32[3] takes 12 bytes, 8 came");
  EXPECT_ERROR(builder.Parameter("w", Tensor()), kInvalidArgument, "parameter w");
}

TEST(GraphBuilderTest, RefusesToSaveWithoutAnOutput) {
  TestFolder directory;
  GraphBuilder builder("net");
  ASSERT_OK(builder.Input("x", kFloat, {2}));
  const fs::path path = directory.path() / "net.mindir";
  EXPECT_ERROR(builder.Save(path), kInvalidArgument, "graph net has no output");
  EXPECT_ERROR(builder.SaveSharded(directory.path(), 2), kInvalidArgument, "no output");
  EXPECT_FALSE(fs::exists(path));
}

TEST(GraphBuilderTest, SavedGraphCanBeRead) {
  TestFolder directory;
  GraphBuilder builder("net");
  const auto x = *builder.Input("x", kFloat, {4, 6});
  const std::array<int64_t, 2> begin = {1, 0}, end = {3, 6}, strides = {1, 2};
  const auto y = *builder.StridedSlice(x, begin, end, strides, {.end = 1});
  ASSERT_OK(builder.Output(*builder.ReLU(y)));
  ASSERT_OK(builder.Output(x));
  const fs::path path = directory.path() / "net.mindir";
  ASSERT_OK(builder.Save(path));
  const Result<Graph> graph = ReadMindir(path);
  ASSERT_OK(graph);
  const GraphSignature signature = SignatureOf(*graph);
  ASSERT_EQ(signature.outputs.size(), 2u);
  EXPECT_EQ(signature.outputs[0].ToString(), "float32[3,3]");
  EXPECT_EQ(signature.outputs[1].ToString(), "float32[4,6]");
  EXPECT_ERROR(builder.Save(directory.path() / "no" / "net.mindir"), kUnavailable, "no/net.mindir");
}

// -(x w), cut in 2 x 2 for MatMul.
Status SaveCut(const std::string& name, const fs::path& directory) {
  GraphBuilder builder(name);
  const auto x = *builder.Input("x", kFloat, {8, 4});
  const auto w = *builder.Parameter("w", Weight({4, 6}));
  PIPESERVE_RETURN_IF_ERROR(
      builder.Output(*builder.Neg(*builder.MatMul(x, w, false, false, {{2, 2}, {2, 1}}))));
  return builder.SaveSharded(directory, 4);
}

TEST(GraphBuilderTest, EveryRankGetsItsGraphAndGroups) {
  TestFolder directory;
  ASSERT_OK(SaveCut("net", directory.path()));
  for (int rank = 0; rank < 4; ++rank) {
    const fs::path device = directory.path() / StrCat("device", rank);
    ReadOptions options;
    options.rank_size = 4;
    const Result<GroupMap> groups = ReadGroupFile(device / "group_config.pb");
    ASSERT_OK(groups);
    EXPECT_EQ(groups->size(), 2u);
    options.groups = *groups;
    const Result<Graph> graph = ReadMindir(device / "net.mindir", options);
    ASSERT_OK(graph);
    const GraphSignature signature = SignatureOf(*graph);
    EXPECT_EQ(signature.inputs.at(0).ToString(), "float32[8,4]");
    EXPECT_EQ(signature.outputs.at(0).ToString(), "float32[8,6]");
    ASSERT_EQ(graph->constants.size(), 1u);
    const Tensor& weight = graph->constants.begin()->second;
    EXPECT_EQ(weight.ToString(), "float32[2,6]");
    EXPECT_EQ(weight.data_as<float>()[0], rank % 2 == 0 ? 0.0f : 12.0f);
  }
}

TEST(GraphBuilderTest, GroupsOfOtherGraphsAreKept) {
  TestFolder directory;
  const fs::path device = directory.path() / "device1";
  fs::create_directories(device);
  ASSERT_OK(WriteGroupFile(device / "group_config.pb", {{"3-5", {0, 1, 2}}}));
  ASSERT_OK(SaveCut("first", directory.path()));
  ASSERT_OK(SaveCut("second", directory.path()));
  const GroupMap groups = *ReadGroupFile(device / "group_config.pb");
  EXPECT_EQ(groups.size(), 3u);
  EXPECT_THAT(groups.at("3-5"), ElementsAre(0, 1, 2));
  EXPECT_TRUE(fs::exists(device / "first.mindir"));
  EXPECT_TRUE(fs::exists(device / "second.mindir"));
}

TEST(GraphBuilderTest, GroupOfAnotherMeaningIsRefusedBeforeAnythingIsWritten) {
  TestFolder directory;
  const fs::path first = directory.path() / "first", second = directory.path() / "second";
  ASSERT_OK(SaveCut("net", first));
  const std::string name = ReadGroupFile(first / "device3" / "group_config.pb")->begin()->first;
  const fs::path device = second / "device3";
  fs::create_directories(device);
  ASSERT_OK(WriteGroupFile(device / "group_config.pb", {{name, {0, 3}}}));
  EXPECT_ERROR(SaveCut("net", second), kInvalidArgument,
               StrCat("says that group ", name, " is 0-3"));
  EXPECT_FALSE(fs::exists(second / "device0"));
}

TEST(GraphBuilderTest, SaveShardedNamesWhatIsWrong) {
  TestFolder directory;
  GraphBuilder builder("net");
  const auto x = *builder.Input("x", kFloat, {8, 4});
  ASSERT_OK(builder.Output(*builder.Neg(x, {{3, 1}})));
  EXPECT_ERROR(builder.SaveSharded(directory.path(), 3), kInvalidArgument,
               "graph net, Neg-op0: strategy ((3,1)) of Neg cuts dimension 0 of operand 0 3 ways");
  EXPECT_ERROR(SaveCut("a/b", directory.path()), kInvalidArgument, "graph name 'a/b'");
  EXPECT_ERROR(SaveCut("net", "/proc/none"), kUnavailable, "/proc/none/device0");
}

}  // namespace
}  // namespace pipeserve
