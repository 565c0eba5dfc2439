#include "pipeline/batch.h"

#include "support/matchers.h"

namespace pipeserve {
namespace {

using ::testing::ElementsAre;

TensorInfo Float(Shape shape) { return {"", DataType::kFloat32, shape}; }

Result<BatchLayout> Layout(std::vector<GraphSignature> graphs, std::vector<int> without = {}) {
  ServableSpec spec;
  spec.without_batch_dim_inputs = std::move(without);
  return BatchLayout::Create(spec, graphs);
}

BatchLayout WithoutBatchDim() {
  ServableSpec spec;
  spec.with_batch_dim = false;
  return *BatchLayout::Create(spec, {});
}

std::vector<float> Values(const Tensor& tensor) {
  const float* data = tensor.data_as<float>();
  return {data, data + tensor.byte_size() / sizeof(float)};
}

TEST(BatchLayoutTest, BatchSizeIsTheFirstDimensionOfAll) {
  const auto layout = Layout(
      {{{Float({4, 2}), Float({3})}, {Float({4, 1})}}, {{Float({4})}, {Float({4}), Float({4, 9})}}},
      {1});
  ASSERT_OK(layout);
  EXPECT_EQ(layout->batch_size(), 4);
}

TEST(BatchLayoutTest, WithoutBatchDimAWholeTensorIsAnInstance) {
  EXPECT_EQ(WithoutBatchDim().batch_size(), 1);
}

TEST(BatchLayoutTest, OpenBatchDimensionAgreesWithEveryOther) {
  EXPECT_EQ(Layout({{{Float({-1, 2})}, {Float({-1, 2})}}})->batch_size(), 1);
  EXPECT_EQ(Layout({{{Float({-1, 2})}, {Float({1, 2})}}})->batch_size(), 1);
  EXPECT_EQ(Layout({{{Float({3, 2})}, {Float({-1, 2})}}})->batch_size(), 3);
}

TEST(BatchLayoutTest, DisagreeingDimensionsAreRefused) {
  EXPECT_ERROR(Layout({{{Float({0, 2})}, {}}}), kInvalidArgument,
               "Servable batch size cannot be 0");
  EXPECT_ERROR(Layout({{{Float({4, 2}), Float({3, 2})}, {}}}), kInvalidArgument,
               "Servable batch size 4 not match model input shape [3,2]");
  EXPECT_ERROR(Layout({{{Float({4, 2})}, {Float({2})}}}), kInvalidArgument,
               "Servable batch size 4 not match model output shape [2]");
  EXPECT_ERROR(Layout({{{Float({})}, {}}}), kInvalidArgument,
               "Servable batch size 1 not match model input shape []");
  EXPECT_ERROR(Layout({{{Float({4})}, {}}, {{Float({2})}, {}}}), kInvalidArgument,
               "Expect batch size to be same");
}

TEST(BatchLayoutTest, BatchesBeyondReasonAreRefused) {
  EXPECT_ERROR(Layout({{{Float({int64_t{1} << 40})}, {}}}), kInvalidArgument, "too large");
  EXPECT_ERROR(Layout({{{Float({1 << 20, 1 << 20})}, {}}}), kInvalidArgument, "a batch may have");
  EXPECT_ERROR(Layout({{{Float({4, -1})}, {}}}), kUnimplemented, "needs known dimensions");
  // The product overflows.
  EXPECT_ERROR(Layout({{{Float({4, int64_t{1} << 62})}, {}}}), kUnimplemented, "");
}

TEST(BatchLayoutTest, ChecksCountBytesAndTypeButNotTheShape) {
  GraphSignature graph{{Float({4, 6}), Float({3})}, {}};
  graph.inputs[0].name = "x";
  graph.inputs[1].name = "y";
  const BatchLayout layout = *Layout({graph}, {1});
  const Tensor one(DataType::kFloat32, {2, 3}), whole(DataType::kFloat32, {3, 1});
  EXPECT_OK(layout.CheckInputs(graph, Instance{one, whole}));
  EXPECT_ERROR(layout.CheckInputs(graph, Instance{one}), kInvalidArgument,
               "Given model inputs size 1 less than model inputs size 2");
  EXPECT_ERROR(layout.CheckInputs(graph, Instance{whole, whole}), kInvalidArgument,
               "Given model input 0 size 12 not match the size 24 defined in model: input x is "
               "float32[3,1], the graph wants float32[4,6] for 4 instances");
  EXPECT_ERROR(layout.CheckInputs(graph, Instance{one, Tensor(DataType::kInt32, {3})}),
               kInvalidArgument,
               "Given model input 1 data type kMSI_Int32 not match the data type kMSI_Float32 "
               "defined in model: input y is int32[3], the graph wants float32[3]");
  EXPECT_ERROR(layout.CheckInputs(graph, Instance{one, Tensor()}), kInvalidArgument, "size 0");
}

TEST(BatchLayoutTest, OpenDimensionTakesAnySizeOfTheRightType) {
  const GraphSignature graph{{Float({-1, 6})}, {}};
  const BatchLayout layout = *Layout({graph});
  EXPECT_OK(layout.CheckInputs(graph, Instance{Tensor(DataType::kFloat32, {5})}));
  EXPECT_ERROR(layout.CheckInputs(graph, Instance{Tensor::FromString(DataType::kString, "x")}),
               kInvalidArgument, "kMSI_String");
}

TEST(BatchLayoutTest, GatherPadsAShortBatchWithTheFirstInstance) {
  const GraphSignature graph{{Float({3, 2}), Float({1})}, {}};
  const BatchLayout layout = *Layout({graph}, {1});
  const Tensor scale = Tensor::Of<float>({1}, {9});
  const std::vector<Instance> instances{{Tensor::Of<float>({2}, {1, 2}), scale},
                                        {Tensor::Of<float>({2}, {3, 4}), scale}};
  const auto inputs = layout.Gather(graph, instances);
  ASSERT_EQ(inputs.size(), 2u);
  EXPECT_EQ(inputs[0].ToString(), "float32[3,2]");
  EXPECT_THAT(Values(inputs[0]), ElementsAre(1, 2, 3, 4, 1, 2));
  EXPECT_EQ(inputs[1].data(), scale.data());
}

TEST(BatchLayoutTest, OneInstanceIsNeverCopied) {
  const GraphSignature graph{{Float({-1, 2})}, {}};
  const Tensor bare = Tensor::Of<float>({2}, {1, 2}), full = Tensor::Of<float>({1, 2}, {1, 2});
  const BatchLayout layout = *Layout({graph});
  for (const Tensor& given : {bare, full}) {
    const Instance instance{given};
    const auto inputs = layout.Gather(graph, std::span(&instance, 1));
    EXPECT_EQ(inputs[0].data(), given.data());
    EXPECT_EQ(inputs[0].ToString(), "float32[1,2]");
    EXPECT_EQ(WithoutBatchDim().Gather(graph, std::span(&instance, 1))[0].data(), given.data());
  }
}

TEST(BatchLayoutTest, ScatterRemovesTheBatchDimensionAndSharesBytes) {
  const BatchLayout layout = *Layout({{{Float({3, 2})}, {}}});
  const Tensor output = Tensor::Of<float>({3, 2}, {1, 2, 3, 4, 5, 6});
  const auto instances = layout.Scatter(std::span(&output, 1), 2);
  ASSERT_OK(instances);
  ASSERT_EQ(instances->size(), 2u);
  const Tensor& second = (*instances)[1][0];
  EXPECT_EQ(second.ToString(), "float32[2]");
  EXPECT_THAT(Values(second), ElementsAre(3, 4));
  EXPECT_EQ(second.data_as<float>(), output.data_as<float>() + 2);
}

TEST(BatchLayoutTest, ScatterRefusesAnOutputWithoutTheBatch) {
  const BatchLayout layout = *Layout({{{Float({3, 2})}, {}}});
  for (const Tensor& output : {Tensor(DataType::kFloat32, {2}), Tensor(DataType::kFloat32, {})}) {
    EXPECT_ERROR(layout.Scatter(std::span(&output, 1), 1), kInternal, "wanted a batch of 3");
  }
  const Tensor any(DataType::kFloat32, {});
  const auto whole = WithoutBatchDim().Scatter(std::span(&any, 1), 1);
  ASSERT_OK(whole);
  EXPECT_EQ((*whole)[0][0].data(), any.data());
}

TEST(BatchLayoutTest, InstancesShareACallWhenTheirUnbatchedInputsAreEqual) {
  const BatchLayout layout = *Layout({{{Float({3}), Float({2})}, {}}}, {1});
  const Tensor x = Tensor::Of<float>({}, {1}), y = Tensor::Of<float>({}, {2});
  const Instance a{x, Tensor::Of<float>({2}, {5, 6})};
  EXPECT_TRUE(layout.CanShareCall(a, {y, Tensor::Of<float>({2}, {5, 6})}));
  EXPECT_FALSE(layout.CanShareCall(a, {x, Tensor::Of<float>({2}, {5, 7})}));
  EXPECT_FALSE(layout.CanShareCall(a, {x, Tensor::Of<float>({1, 2}, {5, 6})}));
}

}  // namespace
}  // namespace pipeserve
