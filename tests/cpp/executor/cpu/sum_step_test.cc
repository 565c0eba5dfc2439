// ReduceSum as small graphs, against loops over indices.
#include <Eigen/Core>
#include <algorithm>

#include "base/str_cat.h"
#include "executor/cpu/one_node.h"

namespace pipeserve {
namespace {

// Element n is a small whole number, so that every order of summation gives the same bits.
template <typename T>
Tensor Numbers(DataType dtype, const Shape& shape) {
  Tensor tensor(dtype, shape);
  for (int64_t n = 0; n < shape.num_elements(); ++n) {
    tensor.mutable_data_as<T>()[n] = static_cast<T>(static_cast<float>(n * 7 % 11 - 5));
  }
  return tensor;
}

template <typename T>
void ExpectSum(DataType dtype, const Shape& shape, const std::vector<int64_t>& axes, int threads) {
  SCOPED_TRACE(StrCat(dtype, shape, " over ", StrJoin(axes, ","), " threads ", threads));
  const Tensor x = Numbers<T>(dtype, shape);
  const auto outputs = RunNode(OpType::kReduceSum, ReduceAttributes{axes, true}, {x}, 1, threads);
  ASSERT_OK(outputs);
  const Tensor& y = (*outputs)[0];
  std::vector<float> sums(static_cast<size_t>(y.shape().num_elements()), 0.0f);
  ForEachIndex(shape, [&](const Index& from) {
    Index to = from;
    for (size_t i = 0; i < to.size(); ++i) {
      if (y.shape()[i] == 1) to[i] = 0;
    }
    sums[static_cast<size_t>(OffsetOf(y.shape(), to))] +=
        static_cast<float>(x.data_as<T>()[OffsetOf(shape, from)]);
  });
  for (size_t i = 0; i < sums.size(); ++i) {
    ASSERT_EQ(static_cast<float>(y.data_as<T>()[i]), sums[i]) << "element " << i;
  }
}

TEST(SumStepTest, SumsOverAnyDimensions) {
  const std::vector<int64_t> axes[] = {{}, {0}, {1}, {2}, {-4}, {0, 2}, {1, -1}, {0, 1, 2}, {0, 3}};
  for (const Shape& shape : {Shape{3, 4, 5, 6}, Shape{2, 1, 150, 1}, Shape{1, 33, 2, 70}}) {
    for (const std::vector<int64_t>& each : axes) {
      ExpectSum<float>(DataType::kFloat32, shape, each, 1);
      ExpectSum<Eigen::half>(DataType::kFloat16, shape, each, 1);
      ExpectSum<int32_t>(DataType::kInt32, shape, each, 1);
    }
  }
}

TEST(SumStepTest, ThreadsShareTheWork) {
  ExpectSum<float>(DataType::kFloat32, {300, 700}, {0}, 3);
  ExpectSum<float>(DataType::kFloat32, {300, 700}, {1}, 3);
}

TEST(SumStepTest, NothingAddsUpToZero) {
  const auto outputs = RunNode(OpType::kReduceSum, ReduceAttributes{{0}, false},
                               {Tensor(DataType::kFloat32, {0, 3})});
  ASSERT_OK(outputs);
  EXPECT_EQ((*outputs)[0].ToString(), "float32[3]");
  EXPECT_EQ(Floats((*outputs)[0]), (std::vector<float>{0, 0, 0}));
  const auto none = RunNode(OpType::kReduceSum, ReduceAttributes{{0}, false},
                            {Tensor(DataType::kFloat32, {2, 0})});
  ASSERT_OK(none);
  EXPECT_EQ((*none)[0].ToString(), "float32[0]");
}

TEST(SumStepTest, AScalarIsItsOwnSum) {
  const auto outputs =
      RunNode(OpType::kReduceSum, ReduceAttributes{}, {Tensor::Of<int32_t>({}, {7})});
  ASSERT_OK(outputs);
  EXPECT_EQ((*outputs)[0].ToString(), "int32[]");
  EXPECT_EQ(*(*outputs)[0].data_as<int32_t>(), 7);
}

TEST(SumStepTest, HalvesAddUpInSinglePrecision) {
  constexpr int64_t kCount = 4096;  // In half precision 2048 + 1 is 2048.
  Tensor x(DataType::kFloat16, {kCount});
  std::fill_n(x.mutable_data_as<Eigen::half>(), kCount, Eigen::half(1));
  for (const Shape& shape : {Shape{kCount}, Shape{kCount, 1}}) {
    const auto outputs = RunNode(OpType::kReduceSum, ReduceAttributes{{0}, false},
                                 {Tensor(DataType::kFloat16, shape, x.buffer())});
    ASSERT_OK(outputs);
    EXPECT_EQ(static_cast<float>(*(*outputs)[0].data_as<Eigen::half>()), 4096.0f);
  }
}

TEST(SumStepTest, IntegersWrap) {
  const auto outputs =
      RunNode(OpType::kReduceSum, ReduceAttributes{}, {Tensor::Of<int32_t>({2}, {INT32_MAX, 1})});
  ASSERT_OK(outputs);
  EXPECT_EQ(*(*outputs)[0].data_as<int32_t>(), INT32_MIN);
}

}  // namespace
}  // namespace pipeserve
