// Casts, by the kernels of every instruction set and as graphs of one node.
#include <Eigen/Core>
#include <bit>
#include <cmath>
#include <limits>

#include "base/str_cat.h"
#include "executor/cpu/each_isa.h"
#include "executor/cpu/one_node.h"

namespace pipeserve {
namespace {

using kernels::CastElement;
using testing::ElementsAre;

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

class CastKernelTest : public EachIsaTest {
 protected:
  template <typename To, typename From>
  std::vector<To> Cast(CastElement from, CastElement to, const std::vector<From>& x) const {
    std::vector<To> y(x.size());
    kernels_->cast(from, to)(x.data(), y.data(), static_cast<int64_t>(x.size()));
    return y;
  }
};

TEST_P(CastKernelTest, FloatsRoundToTheNearestHalfAndTiesToTheEvenOne) {
  const auto halves = [&](const std::vector<float>& x) {
    return Cast<uint16_t>(CastElement::kFloat32, CastElement::kFloat16, x);
  };
  EXPECT_THAT(halves({1, -2, 2049, 2051, 2050.5f}),
              ElementsAre(0x3C00, 0xC000, 0x6800, 0x6802, 0x6801));
  EXPECT_THAT(halves({65504, 65519, 65520, -65520, kInf}),
              ElementsAre(0x7BFF, 0x7BFF, 0x7C00, 0xFC00, 0x7C00));
  const float least = std::ldexp(1.0f, -24);
  EXPECT_THAT(halves({least, least / 2, least * 0.75f, least * 1.5f, -0.0f}),
              ElementsAre(0x0001, 0x0000, 0x0001, 0x0002, 0x8000));
  EXPECT_TRUE(std::isnan(static_cast<float>(std::bit_cast<Eigen::half>(halves({kNan})[0]))));
}

// By way of a float the first would become the tie 2049, and then 2048.
TEST_P(CastKernelTest, DoublesRoundOnceToHalves) {
  const double more = 2049 + 1e-9, less = 2051 - 1e-9;
  EXPECT_THAT((Cast<uint16_t, double>(CastElement::kFloat64, CastElement::kFloat16,
                                      {more, -more, less, 2049, 1e300, -1e-300, 0.1})),
              ElementsAre(0x6801, 0xE801, 0x6801, 0x6800, 0x7C00, 0x8000, 0x2E66));
}

TEST_P(CastKernelTest, EveryHalfComesBackFromAFloat) {
  std::vector<uint16_t> all(1 << 16);
  for (size_t i = 0; i < all.size(); ++i) all[i] = static_cast<uint16_t>(i);
  const auto floats = Cast<float>(CastElement::kFloat16, CastElement::kFloat32, all);
  const auto back = Cast<uint16_t>(CastElement::kFloat32, CastElement::kFloat16, floats);
  for (size_t i = 0; i < all.size(); ++i) {
    if (std::isnan(floats[i])) continue;
    ASSERT_EQ(back[i], all[i]);
  }
}

TEST_P(CastKernelTest, FractionsAreCutOffTowardsZero) {
  const std::vector<float> x = {1.9f, -1.9f, 0.5f, -0.5f, -0.0f};
  EXPECT_THAT((Cast<int32_t>(CastElement::kFloat32, CastElement::kInt32, x)),
              ElementsAre(1, -1, 0, 0, 0));
  EXPECT_THAT((Cast<int64_t>(CastElement::kFloat32, CastElement::kInt64, x)),
              ElementsAre(1, -1, 0, 0, 0));
  EXPECT_THAT((Cast<uint8_t, float>(CastElement::kFloat32, CastElement::kUint8, {255.9f, -0.9f})),
              ElementsAre(255, 0));
}

TEST_P(CastKernelTest, WhatIsOutOfRangeBecomesTheNearestInteger) {
  const std::vector<float> x = {kInf, -kInf, kNan, 2147483648.0f, -2147483904.0f, 2147483520.0f};
  EXPECT_THAT((Cast<int32_t>(CastElement::kFloat32, CastElement::kInt32, x)),
              ElementsAre(INT32_MAX, INT32_MIN, 0, INT32_MAX, INT32_MIN, 2147483520));
  EXPECT_THAT((Cast<int64_t, double>(CastElement::kFloat64, CastElement::kInt64,
                                     {9223372036854775808.0, -1e300, 1e18})),
              ElementsAre(INT64_MAX, INT64_MIN, 1000000000000000000));
  EXPECT_THAT((Cast<int8_t, float>(CastElement::kFloat32, CastElement::kInt8, {128, -129, 127})),
              ElementsAre(127, -128, 127));
  EXPECT_THAT((Cast<uint8_t, float>(CastElement::kFloat32, CastElement::kUint8, {256, -1, kNan})),
              ElementsAre(255, 0, 0));
}

TEST_P(CastKernelTest, IntegersRoundToFloatsAndLoseUpperBits) {
  EXPECT_THAT((Cast<float, int32_t>(CastElement::kInt32, CastElement::kFloat32,
                                    {16777217, 16777219, INT32_MIN})),
              ElementsAre(16777216.0f, 16777220.0f, -2147483648.0f));
  EXPECT_THAT((Cast<uint16_t, int32_t>(CastElement::kInt32, CastElement::kFloat16,
                                       {2049, 2051, -65504, 65520, INT32_MAX})),
              ElementsAre(0x6800, 0x6802, 0xFBFF, 0x7C00, 0x7C00));
  EXPECT_THAT((Cast<int8_t, int32_t>(CastElement::kInt32, CastElement::kInt8, {300, -129, -1})),
              ElementsAre(44, 127, -1));
  EXPECT_THAT((Cast<int32_t, int64_t>(CastElement::kInt64, CastElement::kInt32,
                                      {(int64_t{1} << 32) + 7, -1})),
              ElementsAre(7, -1));
}

TEST_P(CastKernelTest, BoolIsWhetherThereIsAnything) {
  EXPECT_THAT((Cast<uint8_t, float>(CastElement::kFloat32, CastElement::kBool,
                                    {0, -0.0f, 0.25f, -3, kNan})),
              ElementsAre(0, 0, 1, 1, 1));
  EXPECT_THAT((Cast<uint8_t, uint16_t>(CastElement::kFloat16, CastElement::kBool,
                                       {0x0000, 0x8000, 0x0001})),
              ElementsAre(0, 0, 1));
  EXPECT_THAT((Cast<uint8_t, int32_t>(CastElement::kInt32, CastElement::kBool, {0, 256})),
              ElementsAre(0, 1));
  EXPECT_THAT(
      (Cast<float, uint8_t>(CastElement::kBool, CastElement::kFloat32, {0, 1, 2})),  // Any byte.
      ElementsAre(0, 1, 1));
}

// Of small whole numbers, which all types have.
TEST_P(CastKernelTest, EveryTypeIsCastToEveryOther) {
  constexpr CastElement kAll[] = {
      CastElement::kInt8,    CastElement::kUint8,   CastElement::kInt32,  CastElement::kInt64,
      CastElement::kFloat16, CastElement::kFloat32, CastElement::kFloat64};
  const std::vector<float> numbers = {0, 1, 2, 3, 64, 100, 127};
  for (const CastElement from : kAll) {
    for (const CastElement to : kAll) {
      std::vector<uint64_t> x(numbers.size()), y(numbers.size());  // Room for any type.
      std::vector<float> back(numbers.size());
      const auto count = static_cast<int64_t>(numbers.size());
      kernels_->cast(CastElement::kFloat32, from)(numbers.data(), x.data(), count);
      kernels_->cast(from, to)(x.data(), y.data(), count);
      kernels_->cast(to, CastElement::kFloat32)(y.data(), back.data(), count);
      EXPECT_EQ(back, numbers) << static_cast<int>(from) << " to " << static_cast<int>(to);
    }
  }
}

INSTANTIATE_FOR_EACH_ISA(CastKernelTest);

TEST(CastStepTest, ThreadsCastTheirParts) {
  constexpr int64_t kCount = 300'000;
  Tensor x(DataType::kInt32, {kCount});
  for (int64_t i = 0; i < kCount; ++i) {
    x.mutable_data_as<int32_t>()[i] = static_cast<int32_t>(i % 2000);
  }
  for (const DataType to : {DataType::kFloat16, DataType::kFloat64}) {
    const auto cast = RunNode(OpType::kCast, CastAttributes{to}, {x}, 1, 3);
    ASSERT_OK(cast);
    EXPECT_EQ((*cast)[0].ToString(), StrCat(to, "[300000]"));
    const auto back = RunNode(OpType::kCast, CastAttributes{DataType::kInt32}, {(*cast)[0]});
    ASSERT_OK(back);
    EXPECT_EQ(std::memcmp((*back)[0].data(), x.data(), x.byte_size()), 0);
  }
}

TEST(CastStepTest, AnEmptyTensorStaysEmpty) {
  const auto cast = RunNode(OpType::kCast, CastAttributes{DataType::kFloat16},
                            {Tensor(DataType::kFloat32, {0, 3})});
  ASSERT_OK(cast);
  EXPECT_EQ((*cast)[0].ToString(), "float16[0,3]");
}

TEST(CastStepTest, RefusesTypesWithoutAKernel) {
  const Tensor x = Tensor::Of<float>({1}, {1});
  EXPECT_ERROR(RunNode(OpType::kCast, CastAttributes{DataType::kUint32}, {x}), kUnimplemented,
               "no Cast to uint32");
  EXPECT_ERROR(
      RunNode(OpType::kCast, CastAttributes{DataType::kFloat32}, {Tensor(DataType::kInt16, {1})}),
      kUnimplemented, "no Cast of int16");
}

}  // namespace
}  // namespace pipeserve
