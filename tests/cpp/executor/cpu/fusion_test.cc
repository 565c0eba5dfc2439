// MatMul and what follows it run as one step, with the bits of running one after the other.
#include "executor/cpu/fusion.h"

#include <Eigen/Core>
#include <cmath>
#include <cstring>
#include <random>

#include "base/str_cat.h"
#include "executor/cpu/cpu_executor.h"
#include "executor/cpu/each_isa.h"
#include "executor/cpu/plan.h"
#include "graph/shape_inference.h"
#include "support/graphs.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using testing::ElementsAre;

std::vector<std::string> StepsOf(const Graph& graph) {
  const auto infos = InferShapes(graph, SignatureOf(graph).inputs, 1);
  EXPECT_OK(infos);
  const auto plan = Plan::Build(graph, *infos, {kernels::UsableKernels().back(), 1, 1});
  EXPECT_OK(plan);
  return (*plan)->step_names();
}

// A product of float32[4,3] that tests continue.
struct Product {
  TestGraph graph;
  ValueId x = graph.Input({4, 2}), w = graph.Input({2, 3});
  ValueId y = graph.Node(OpType::kMatMul, {x, w}, {4, 3}, MatMulAttributes{});

  ValueId Then(OpType op, std::vector<ValueId> inputs, const Shape& shape = {4, 3}) {
    return graph.Node(op, std::move(inputs), shape);
  }
};

TEST(FusionTest, WhatFollowsAProductIsPartOfItsStep) {
  Product p;
  const ValueId row = p.graph.Input({3}), one = p.graph.Input({1, 3}), all = p.graph.Input({});
  ValueId y = p.Then(OpType::kBiasAdd, {p.y, row});
  y = p.Then(OpType::kReLU, {y});
  y = p.Then(OpType::kAdd, {one, y});
  y = p.Then(OpType::kAdd, {y, all});
  y = p.Then(OpType::kNeg, {y});
  EXPECT_THAT(StepsOf(p.graph.Return({y})), ElementsAre("MatMul+BiasAdd+ReLU+Add+Add+Neg"));
}

TEST(FusionTest, AStepEndsAfterSoManyOperators) {
  Product p;
  ValueId y = p.y;
  for (size_t i = 0; i < kMaxFollowing + 1; ++i) y = p.Then(OpType::kNeg, {y});
  EXPECT_THAT(StepsOf(p.graph.Return({y})), ElementsAre(testing::StartsWith("MatMul+"), "Neg"));
}

TEST(FusionTest, AProductThatSomebodyElseReadsIsKept) {
  Product output;
  const ValueId y = output.Then(OpType::kNeg, {output.y});
  EXPECT_THAT(StepsOf(output.graph.Return({y, output.y})), ElementsAre("MatMul", "Neg"));

  Product read_twice;
  const ValueId a = read_twice.Then(OpType::kNeg, {read_twice.y});
  const ValueId b = read_twice.Then(OpType::kReLU, {read_twice.y});
  EXPECT_THAT(StepsOf(read_twice.graph.Return({a, b})), ElementsAre("MatMul", "Neg", "ReLU"));

  Product doubled;
  const ValueId sum = doubled.Then(OpType::kAdd, {doubled.y, doubled.y});
  EXPECT_THAT(StepsOf(doubled.graph.Return({sum})), ElementsAre("MatMul", "Add"));
}

TEST(FusionTest, OnlyRowsAreAddedInTheSamePass) {
  for (const Shape& shape : {Shape{4, 3}, Shape{4, 1}, Shape{1, 1, 3}}) {
    Product p;
    const ValueId other = p.graph.Input(shape);
    const ValueId y = p.Then(OpType::kAdd, {p.y, other}, {});
    EXPECT_THAT(StepsOf(p.graph.Return({y})), ElementsAre("MatMul", "Add")) << shape;
  }
  Product p;
  const ValueId y = p.Then(OpType::kSub, {p.y, p.graph.Input({3})});
  EXPECT_THAT(StepsOf(p.graph.Return({y})), ElementsAre("MatMul", "Sub"));
}

// The row is computed after the product, in memory that the product's operands must not lose.
TEST(FusionTest, AStepWaitsForTheRowsItAdds) {
  TestGraph graph;
  const ValueId x = graph.Node(OpType::kNeg, {graph.Input({2, 2})}, {2, 2});
  const ValueId w = graph.Node(OpType::kNeg, {graph.Input({2, 2})}, {2, 2});
  const ValueId product = graph.Node(OpType::kMatMul, {x, w}, {2, 2}, MatMulAttributes{});
  const ValueId row = graph.Node(OpType::kReLU, {graph.Input({2})}, {2});
  const ValueId y = graph.Node(OpType::kAdd, {product, row}, {2, 2});
  Graph done = graph.Return({y});
  EXPECT_THAT(StepsOf(done), ElementsAre("Neg", "Neg", "ReLU", "MatMul+Add"));
  std::vector<Graph> graphs;
  graphs.push_back(std::move(done));
  const auto executor = CpuExecutor::Create(std::move(graphs));
  ASSERT_OK(executor);
  std::vector<Tensor> outputs;
  const std::vector<Tensor> inputs = {Tensor::Of<float>({2, 2}, {1, 2, 3, 4}),
                                      Tensor::Of<float>({2, 2}, {1, 0, 0, 1}),
                                      Tensor::Of<float>({2}, {10, -10})};
  ASSERT_OK((*executor)->Run(0, inputs, {}, &outputs));
  EXPECT_EQ(Floats(outputs[0]), (std::vector<float>{11, 2, 13, 4}));
}

// A product with random operators after it, and numbers for its inputs.
class RandomCase {
 public:
  RandomCase(std::mt19937& random, DataType dtype) : random_(random), dtype_(dtype) {
    static constexpr int64_t kSizes[] = {1, 2, 3, 8, 16, 17, 33, 130, 260};
    m_ = kSizes[random_() % std::size(kSizes)];
    k_ = kSizes[random_() % std::size(kSizes)];
    n_ = kSizes[random_() % std::size(kSizes)];
    attributes_ = {random_() % 2 == 0, random_() % 2 == 0};
    dynamic_ = random_() % 2 == 0;
    inputs_.push_back(Numbers(attributes_.transpose_a ? Shape{k_, m_} : Shape{m_, k_}));
    inputs_.push_back(Numbers(attributes_.transpose_b ? Shape{n_, k_} : Shape{k_, n_}));
    for (size_t i = random_() % 4 + 1; i > 0; --i) {
      static constexpr OpType kOps[] = {OpType::kNeg, OpType::kReLU, OpType::kBiasAdd,
                                        OpType::kAdd};
      ops_.push_back(kOps[random_() % std::size(kOps)]);
      if (ops_.back() == OpType::kBiasAdd) inputs_.push_back(Numbers({n_}));
      if (ops_.back() == OpType::kAdd) {
        inputs_.push_back(Numbers(random_() % 2 == 0 ? Shape{1, n_} : Shape{1}));
      }
    }
  }

  // With `whole`, every value between is an output too, so that nothing is fused.
  Graph MakeGraph(bool whole) const {
    TestGraph graph;
    std::vector<ValueId> inputs;
    for (const Tensor& input : inputs_) {
      Shape declared = input.shape();
      if (inputs.empty() && dynamic_) declared = Shape{-1, -1};
      inputs.push_back(graph.Input(declared, dtype_));
    }
    std::vector<ValueId> values = {
        graph.Node(OpType::kMatMul, {inputs[0], inputs[1]}, {}, attributes_)};
    size_t next = 2;
    for (const OpType op : ops_) {
      std::vector<ValueId> operands = {values.back()};
      if (op == OpType::kAdd || op == OpType::kBiasAdd) operands.push_back(inputs[next++]);
      values.push_back(graph.Node(op, operands, {}));
    }
    if (!whole) return graph.Return({values.back()});
    return graph.Return({values.rbegin(), values.rend()});
  }

  const std::vector<Tensor>& inputs() const { return inputs_; }
  std::string ToString() const {
    std::string text =
        StrCat(dtype_, " ", m_, "x", k_, "x", n_, attributes_.transpose_a ? " ta" : "",
               attributes_.transpose_b ? " tb" : "", dynamic_ ? " dynamic" : "");
    for (const OpType op : ops_) text += StrCat(" ", OpTypeName(op));
    return text;
  }

 private:
  Tensor Numbers(const Shape& shape) {
    std::normal_distribution<float> normal;
    Tensor tensor(dtype_, shape);
    for (int64_t i = 0; i < shape.num_elements(); ++i) {
      const float value = random_() % 8 == 0 ? 0.0f : normal(random_);
      if (dtype_ == DataType::kFloat16) {
        tensor.mutable_data_as<Eigen::half>()[i] = Eigen::half(value);
      } else if (dtype_ == DataType::kInt32) {
        tensor.mutable_data_as<int32_t>()[i] = static_cast<int32_t>(std::lround(value * 1e6f));
      } else {
        tensor.mutable_data_as<float>()[i] = value;
      }
    }
    return tensor;
  }

  std::mt19937& random_;
  const DataType dtype_;
  int64_t m_, k_, n_;
  MatMulAttributes attributes_;
  bool dynamic_;
  std::vector<Tensor> inputs_;
  std::vector<OpType> ops_;
};

Result<Tensor> FirstOutput(Graph graph, const std::vector<Tensor>& inputs,
                           const kernels::KernelTable* kernels, int threads) {
  std::vector<Graph> graphs;
  graphs.push_back(std::move(graph));
  PIPESERVE_ASSIGN_OR_RETURN(
      const auto executor, CpuExecutor::Create(std::move(graphs), {threads, nullptr, 1, kernels}));
  std::vector<Tensor> outputs;
  PIPESERVE_RETURN_IF_ERROR(executor->Run(0, inputs, {}, &outputs));
  return outputs[0];
}

bool SameBits(const Tensor& a, const Tensor& b) {
  return a.byte_size() == b.byte_size() && std::memcmp(a.data(), b.data(), a.byte_size()) == 0;
}

using FusionBitsTest = EachIsaTest;

TEST_P(FusionBitsTest, AreThoseOfOneStepAfterTheOtherWithAnyNumberOfThreads) {
  std::mt19937 random(7);
  for (int i = 0; i < 60; ++i) {
    for (const DataType dtype : {DataType::kFloat32, DataType::kFloat16, DataType::kInt32}) {
      const RandomCase each(random, dtype);
      const auto wanted = FirstOutput(each.MakeGraph(true), each.inputs(), kernels_, 1);
      ASSERT_OK(wanted);
      for (const int threads : {1, 3}) {
        const auto came = FirstOutput(each.MakeGraph(false), each.inputs(), kernels_, threads);
        ASSERT_OK(came);
        ASSERT_TRUE(SameBits(*came, *wanted)) << each.ToString() << ", threads " << threads;
      }
    }
  }
}

// A product alone, whose bits may differ in the last places from one set to another.
TEST_P(FusionBitsTest, ComeCloseToThoseOfTheBaseline) {
  std::mt19937 random(8);
  for (int i = 0; i < 60; ++i) {
    const RandomCase each(random, DataType::kFloat32);
    const auto wanted =
        FirstOutput(each.MakeGraph(false), each.inputs(), kernels::UsableKernels().front(), 1);
    const auto came = FirstOutput(each.MakeGraph(false), each.inputs(), kernels_, 1);
    ASSERT_OK(wanted);
    ASSERT_OK(came);
    const std::vector<float> a = Floats(*came), b = Floats(*wanted);
    for (size_t j = 0; j < a.size(); ++j) ASSERT_NEAR(a[j], b[j], 1e-3) << each.ToString();
  }
}

INSTANTIATE_FOR_EACH_ISA(FusionBitsTest);

}  // namespace
}  // namespace pipeserve
