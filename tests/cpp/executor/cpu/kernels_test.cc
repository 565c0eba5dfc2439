// The kernels against loops that anybody can check.
#include "executor/cpu/kernels.h"

#include <utility>
#include <vector>

#include "executor/cpu/each_isa.h"

namespace pipeserve::kernels {
namespace {

template <typename T>
std::vector<T> Numbers(int64_t count, int seed) {
  std::vector<T> values(static_cast<size_t>(count));
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<T>(static_cast<int>(i * 7 + static_cast<size_t>(seed) * 3) % 11 - 5);
  }
  return values;
}

// Small whole numbers, so that every order of summation gives the same bits.
template <typename T>
void ExpectProduct(MatMulKernel kernel, const MatMulShape& s) {
  const auto a = Numbers<T>(s.m * s.k, 1), b = Numbers<T>(s.k * s.n, 2);
  std::vector<T> y(static_cast<size_t>(s.m * s.n), T(99)), wanted = y;
  for (int64_t i = 0; i < s.m; ++i) {
    for (int64_t j = 0; j < s.n; ++j) {
      T sum = 0;
      for (int64_t k = 0; k < s.k; ++k) {
        sum += a[static_cast<size_t>(s.transpose_a ? k * s.m + i : i * s.k + k)] *
               b[static_cast<size_t>(s.transpose_b ? j * s.k + k : k * s.n + j)];
      }
      wanted[static_cast<size_t>(i * s.n + j)] = sum;
    }
  }
  const bool exchanged = s.n == 1;
  const MatMulShape asked = exchanged ? Exchanged(s) : s;
  MatMulArguments arguments{a.data(), b.data(), y.data()};
  if (exchanged) std::swap(arguments.a, arguments.b);
  for (int64_t tile = 0; tile < MatMulTiles(asked); ++tile) kernel(asked, arguments, tile);
  EXPECT_EQ(y, wanted) << s.m << " " << s.k << " " << s.n << (s.transpose_a ? " ta" : "")
                       << (s.transpose_b ? " tb" : "");
}

using CpuKernelsTest = EachIsaTest;

TEST_P(CpuKernelsTest, MatMulOfEveryShapeAndTranspose) {
  std::vector<std::vector<int64_t>> sizes = {
      {1, 300, 300},   {1, 3, 1000},  {300, 300, 1}, {1000, 3, 1}, {1, 1, 1},
      {130, 257, 258}, {3, 0, 2},     {0, 4, 4},     {4, 4, 0},    {1, 0, 4},
      {4, 0, 1},       {128, 96, 16}, {128, 96, 2},  {5, 2, 3},    {129, 600, 2},
      {2, 2, 2},       {7, 40, 32},   {1, 3, 2100},  {2100, 3, 1}};
  for (int64_t n = 1; n <= 20; ++n) sizes.push_back({139 - n, 260, n});
  for (const auto& size : sizes) {
    for (int transposes = 0; transposes < 4; ++transposes) {
      const MatMulShape shape{size[0], size[1], size[2], (transposes & 1) != 0,
                              (transposes & 2) != 0};
      ExpectProduct<float>(kernels_->matmul(Element::kFloat32), shape);
      ExpectProduct<int32_t>(kernels_->matmul(Element::kInt32), shape);
    }
  }
}

TEST_P(CpuKernelsTest, BinaryFromAnyElementOn) {
  // [2,3,4] - [3,1]
  const BroadcastShape shape{3, {2, 3, 4}, {12, 4, 1}, {0, 1, 0}};
  const auto a = Numbers<float>(24, 1), b = Numbers<float>(3, 2);
  for (int64_t cut = 0; cut <= 24; ++cut) {
    std::vector<float> y(24);
    const BinaryKernel kernel = kernels_->binary(BinaryOp::kSub, Element::kFloat32);
    kernel(shape, a.data(), b.data(), y.data(), 0, cut);
    kernel(shape, a.data(), b.data(), y.data(), cut, 24);
    for (size_t i = 0; i < 24; ++i) EXPECT_EQ(y[i], a[i] - b[i / 4 % 3]);
  }
}

TEST_P(CpuKernelsTest, IntegersWrap) {
  const int32_t x = INT32_MIN;
  int32_t y = 0;
  kernels_->unary(UnaryOp::kNeg, Element::kInt32)(&x, &y, 1);
  EXPECT_EQ(y, INT32_MIN);
  kernels_->unary(UnaryOp::kReLU, Element::kInt32)(&x, &y, 1);
  EXPECT_EQ(y, 0);
}

INSTANTIATE_FOR_EACH_ISA(CpuKernelsTest);

TEST(MoveKernelsTest, GatherWalksBackwards) {
  const std::vector<int32_t> x = {0, 1, 2, 3, 4, 5};
  std::vector<int32_t> y(6);
  Gather({2, {3, 2}, {-1, 3}}, 4, x.data() + 2, y.data());  // Transposed and reversed [2,3].
  EXPECT_EQ(y, (std::vector<int32_t>{2, 5, 1, 4, 0, 3}));
}

}  // namespace
}  // namespace pipeserve::kernels
