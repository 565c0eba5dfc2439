// What every Executor promises, as tests that each implementation instantiates with a factory.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "executor/executor.h"
#include "support/graphs.h"
#include "support/matchers.h"

namespace pipeserve {

struct ExecutorFactory {
  std::string name;
  std::function<Result<std::unique_ptr<Executor>>(std::vector<Graph>)> make;
};

class ExecutorContractTest : public testing::TestWithParam<ExecutorFactory> {
 protected:
  // Graph 0: y = -(x * w) for x float32[2,3], w[3,1]; graph 1: a - b for float32[2].
  void SetUp() override {
    TestGraph first, second;
    const ValueId w = first.Constant(Tensor::Of<float>({3, 1}, {1, 10, 100}));
    const ValueId product =
        first.Node(OpType::kMatMul, {first.Input({2, 3}), w}, {2, 1}, MatMulAttributes{});
    const ValueId a = second.Input({2}), b = second.Input({2});
    std::vector<Graph> graphs;
    graphs.push_back(first.Return({first.Node(OpType::kNeg, {product}, {2, 1})}));
    graphs.push_back(second.Return({second.Node(OpType::kSub, {a, b}, {2})}));
    auto executor = GetParam().make(std::move(graphs));
    ASSERT_OK(executor);
    executor_ = *std::move(executor);
  }

  // Places of these sizes.
  static std::vector<Buffer> Places(std::initializer_list<size_t> sizes) {
    std::vector<Buffer> places;
    for (const size_t size : sizes) places.push_back(Buffer::Allocate(size));
    return places;
  }

  Status Run(GraphId graph, std::vector<Tensor> inputs, Deadline deadline = {}) {
    return executor_->Run(graph, inputs, {deadline, 1}, &outputs_);
  }

  const Tensor x_ = Tensor::Of<float>({2, 3}, {1, 2, 3, 4, 5, 6});
  std::unique_ptr<Executor> executor_;
  std::vector<Tensor> outputs_;
};

TEST_P(ExecutorContractTest, TellsItsSignatures) {
  ASSERT_EQ(executor_->graph_count(), 2);
  EXPECT_EQ(executor_->signature(0).inputs[0].ToString(), "float32[2,3]");
  EXPECT_EQ(executor_->signature(0).outputs[0].ToString(), "float32[2,1]");
  EXPECT_EQ(executor_->signature(1).inputs.size(), 2u);
}

TEST_P(ExecutorContractTest, ReplacesOutputs) {
  outputs_.resize(3);
  ASSERT_OK(Run(0, {x_}));
  ASSERT_EQ(outputs_.size(), 1u);
  EXPECT_EQ(outputs_[0].ToString(), "float32[2,1]");
  EXPECT_EQ(Floats(outputs_[0]), (std::vector<float>{-321, -654}));
}

TEST_P(ExecutorContractTest, KeepsTheOrderOfInputs) {
  ASSERT_OK(Run(1, {Tensor::Of<float>({2}, {5, 7}), Tensor::Of<float>({2}, {1, 2})}));
  EXPECT_EQ(Floats(outputs_[0]), (std::vector<float>{4, 5}));
}

TEST_P(ExecutorContractTest, ComparesByteSizesNotShapes) {
  ASSERT_OK(Run(0, {Tensor(DataType::kFloat32, {3, 2}, x_.buffer())}));
  EXPECT_EQ(Floats(outputs_[0]), (std::vector<float>{-321, -654}));
}

TEST_P(ExecutorContractTest, OutputsMayBeTheNextInputs) {
  outputs_ = {Tensor::Of<float>({2}, {5, 7}), Tensor::Of<float>({2}, {1, 2})};
  ASSERT_OK(executor_->Run(1, outputs_, {}, &outputs_));
  EXPECT_EQ(Floats(outputs_[0]), (std::vector<float>{4, 5}));
}

TEST_P(ExecutorContractTest, PlacesForOutputsChangeNoResult) {
  CallContext context;
  for (const auto& places : {Places({8}), Places({4}), Places({8, 8}), Places({})}) {
    context.places = places;
    ASSERT_OK(executor_->Run(0, std::span(&x_, 1), context, &outputs_));
    ASSERT_EQ(outputs_.size(), 1u);
    EXPECT_EQ(Floats(outputs_[0]), (std::vector<float>{-321, -654}));
  }
}

TEST_P(ExecutorContractTest, RefusesInputsThatDoNotFit) {
  EXPECT_ERROR(Run(1, {Tensor::Of<float>({2}, {5, 7})}), kInvalidArgument,
               "Given model inputs size 1 less than model inputs size 2");
  EXPECT_ERROR(Run(0, {x_, x_}), kInvalidArgument, "Given model inputs size 2");
  EXPECT_ERROR(Run(0, {Tensor::Of<float>({1}, {1})}), kInvalidArgument,
               "Given model input 0 size 4 not match the size 24 defined in model");
  EXPECT_ERROR(Run(0, {Tensor::Of<int32_t>({2, 3}, {1, 2, 3, 4, 5, 6})}), kInvalidArgument,
               "Given model input 0 data type kMSI_Int32 not match the data type kMSI_Float32 "
               "defined in model");
  EXPECT_ERROR(Run(0, {Tensor()}), kInvalidArgument, "Given model input 0");
}

TEST_P(ExecutorContractTest, RefusesGraphsThatAreNotThere) {
  EXPECT_ERROR(Run(-1, {x_}), kInvalidArgument, "graph -1");
  EXPECT_ERROR(Run(2, {x_}), kInvalidArgument, "graph 2");
}

TEST_P(ExecutorContractTest, DoesNotStartAfterTheDeadline) {
  EXPECT_ERROR(Run(0, {x_}, Deadline::After(Duration(-1))), kDeadlineExceeded, "deadline");
}

TEST_P(ExecutorContractTest, CallsOfSeveralThreadsDoNotDisturbEachOther) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      const auto value = static_cast<float>(t);
      const std::vector<Tensor> inputs = {Tensor::Of<float>({2, 3}, {value, 0, 0, 0, value, 0})};
      std::vector<Tensor> outputs;
      for (int i = 0; i < 200; ++i) {
        ASSERT_OK(executor_->Run(0, inputs, {}, &outputs));
        ASSERT_EQ(Floats(outputs[0]), (std::vector<float>{-value, -10 * value}));
      }
    });
  }
}

}  // namespace pipeserve
