// Operators that compute, as small graphs in every data type, against loops over indices.
#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <type_traits>

#include "executor/cpu/one_node.h"

namespace pipeserve {
namespace {

using Eigen::half;

template <typename T>
struct Typed {
  using Element = T;
  static DataType dtype() {
    if constexpr (std::is_same_v<T, half>)
      return DataType::kFloat16;
    else
      return internal::DataTypeOf<T>();
  }
  // Small whole numbers of both signs: every result is exact in every data type.
  static Tensor Numbers(const Shape& shape, int64_t seed) {
    Tensor tensor(dtype(), shape);
    for (int64_t n = 0; n < shape.num_elements(); ++n) {
      tensor.mutable_data_as<T>()[n] = static_cast<T>(static_cast<float>((n * 5 + seed) % 7 - 3));
    }
    return tensor;
  }
  static float At(const Tensor& tensor, const Index& index) {
    return static_cast<float>(tensor.data_as<T>()[OffsetOf(tensor.shape(), index)]);
  }
  // The element of an operand, aligned at the last dimension, that meets `index` of the result.
  static float Broadcast(const Tensor& tensor, const Index& index) {
    Index own;
    const size_t lead = index.size() - tensor.shape().rank();
    for (size_t i = 0; i < tensor.shape().rank(); ++i) {
      own.push_back(tensor.shape()[i] == 1 ? 0 : index[lead + i]);
    }
    return At(tensor, own);
  }
};

template <typename T>
class MathStepsTest : public testing::Test {};
using ElementTypes = testing::Types<float, half, int32_t>;
TYPED_TEST_SUITE(MathStepsTest, ElementTypes);

TYPED_TEST(MathStepsTest, MatMulOfBothTransposes) {
  using T = Typed<TypeParam>;
  for (const auto& [m, k, n] : {std::array<int64_t, 3>{3, 4, 5}, {1, 9, 1}, {130, 20, 17}}) {
    for (int transposes = 0; transposes < 4; ++transposes) {
      const bool ta = (transposes & 1) != 0, tb = (transposes & 2) != 0;
      const Tensor a = T::Numbers(ta ? Shape{k, m} : Shape{m, k}, 1);
      const Tensor b = T::Numbers(tb ? Shape{n, k} : Shape{k, n}, 2);
      const auto outputs = RunNode(OpType::kMatMul, MatMulAttributes{ta, tb}, {a, b}, 1, 2);
      ASSERT_OK(outputs);
      ForEachIndex((*outputs)[0].shape(), [&, k = k](const Index& at) {
        float sum = 0;
        for (int64_t i = 0; i < k; ++i) {
          sum += T::At(a, ta ? Index{i, at[0]} : Index{at[0], i}) *
                 T::At(b, tb ? Index{at[1], i} : Index{i, at[1]});
        }
        ASSERT_EQ(T::At((*outputs)[0], at), sum);
      });
    }
  }
}

TYPED_TEST(MathStepsTest, BinaryOperatorsBroadcast) {
  using T = Typed<TypeParam>;
  const std::pair<Shape, Shape> shapes[] = {{{2, 3, 4}, {2, 3, 4}}, {{2, 3, 4}, {3, 1}},
                                            {{4}, {2, 3, 1}},       {{}, {2, 2}},
                                            {{2, 1, 4}, {1, 3, 1}}, {{}, {}},
                                            {{0, 3}, {3}}};
  for (const auto& [left, right] : shapes) {
    const Tensor a = T::Numbers(left, 1), b = T::Numbers(right, 3);
    for (const OpType op : {OpType::kAdd, OpType::kSub, OpType::kMul}) {
      const auto outputs = RunNode(op, {}, {a, b});
      ASSERT_OK(outputs);
      ForEachIndex((*outputs)[0].shape(), [&](const Index& at) {
        const float x = T::Broadcast(a, at), y = T::Broadcast(b, at);
        const float wanted = op == OpType::kAdd ? x + y : op == OpType::kSub ? x - y : x * y;
        ASSERT_EQ(T::At((*outputs)[0], at), wanted) << OpTypeName(op) << left << right;
      });
    }
  }
}

TYPED_TEST(MathStepsTest, UnaryOperatorsAndBias) {
  using T = Typed<TypeParam>;
  const Tensor x = T::Numbers({2, 3, 5}, 1), bias = T::Numbers({3}, 4);
  const auto neg = RunNode(OpType::kNeg, {}, {x}), relu = RunNode(OpType::kReLU, {}, {x});
  const auto sum = RunNode(OpType::kBiasAdd, {}, {x, bias});
  ASSERT_OK(neg);
  ASSERT_OK(relu);
  ASSERT_OK(sum);
  ForEachIndex(x.shape(), [&](const Index& at) {
    ASSERT_EQ(T::At((*neg)[0], at), -T::At(x, at));
    ASSERT_EQ(T::At((*relu)[0], at), std::max(0.0f, T::At(x, at)));
    ASSERT_EQ(T::At((*sum)[0], at), T::At(x, at) + T::At(bias, {at[1]}));
  });
}

TEST(HalfMathTest, MatMulAddsUpInSinglePrecision) {
  constexpr int64_t kDepth = 4096;  // In half precision 2048 + 1 is 2048.
  Tensor ones(DataType::kFloat16, {1, kDepth});
  std::fill_n(ones.mutable_data_as<half>(), kDepth, half(1));
  const auto outputs = RunNode(OpType::kMatMul, MatMulAttributes{false, true}, {ones, ones});
  ASSERT_OK(outputs);
  EXPECT_EQ(static_cast<float>(*(*outputs)[0].data_as<half>()), 4096.0f);
}

}  // namespace
}  // namespace pipeserve
