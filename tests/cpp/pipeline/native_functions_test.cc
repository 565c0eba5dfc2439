#include <cstring>
#include <limits>

#include "pipeserve/servable.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

Result<Instance> Argmax(Tensor input) {
  const Instance instance{std::move(input)};
  return FindNativeFunction("argmax_cpp")->Call(std::span(&instance, 1))[0];
}

void ExpectIndex(Tensor input, int32_t index) {
  const Result<Instance> result = Argmax(std::move(input));
  ASSERT_OK(result);
  ASSERT_EQ(result->size(), 1u);
  EXPECT_EQ((*result)[0].ToString(), "int32[]");
  EXPECT_EQ(*(*result)[0].data_as<int32_t>(), index);
}

// Bit patterns of IEEE halves.
Tensor Halves(std::initializer_list<uint16_t> bits) {
  const Tensor raw = Tensor::Of<uint16_t>({static_cast<int64_t>(bits.size())}, bits);
  return Tensor(DataType::kFloat16, raw.shape(), raw.buffer());
}

TEST(NativeFunctionsTest, OnlyKnownNamesAreFound) {
  ASSERT_NE(FindNativeFunction("argmax_cpp"), nullptr);
  EXPECT_EQ(FindNativeFunction("argmax_cpp")->name(), "argmax_cpp");
  EXPECT_EQ(FindNativeFunction("argmax"), nullptr);
  EXPECT_EQ(FindNativeFunction(""), nullptr);
}

TEST(NativeFunctionsTest, ArgmaxTakesFloatsOfEveryWidth) {
  ExpectIndex(Tensor::Of<float>({4}, {-3, -1, -2, -4}), 1);
  ExpectIndex(Tensor::Of<double>({2, 2}, {1, 2, 3, 4}), 3);
  // -2, 2^-24 (subnormal), 0, -inf; and 1, 65504, infinity.
  ExpectIndex(Halves({0xC000, 0x0001, 0x0000, 0xFC00}), 1);
  ExpectIndex(Halves({0x3C00, 0x7BFF, 0x7C00}), 2);
  ExpectIndex(Halves({0x3C00, 0x3C01, 0xBC02}), 1);
}

TEST(NativeFunctionsTest, ArgmaxTakesTheFirstOfEqualsAndNoNan) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  ExpectIndex(Tensor::Of<float>({4}, {0, 7, 7, 1}), 1);
  ExpectIndex(Tensor::Of<float>({4}, {nan, -5, nan, -6}), 1);
  ExpectIndex(Tensor::Of<float>({2}, {nan, nan}), 0);
  ExpectIndex(Halves({0x7E00, 0xFC00}), 1);
}

TEST(NativeFunctionsTest, ArgmaxReadsUnalignedBytes) {
  const Tensor aligned = Tensor::Of<float>({3}, {1, 3, 2});
  Buffer bytes = Buffer::Allocate(13);
  std::memcpy(bytes.mutable_data() + 1, aligned.data(), 12);
  ExpectIndex(Tensor(DataType::kFloat32, {3}, bytes.Slice(1, 12)), 1);
}

TEST(NativeFunctionsTest, ArgmaxRefusesWhatIsNoVectorOfFloats) {
  EXPECT_ERROR(Argmax(Tensor::Of<int32_t>({1}, {1})), kInvalidArgument,
               "argmax_cpp: input is int32[1], wanted float16, float32 or float64");
  EXPECT_ERROR(Argmax(Tensor(DataType::kFloat32, {0})), kInvalidArgument, "no elements");
  const Instance two{Tensor::Of<float>({1}, {1}), Tensor::Of<float>({1}, {1})};
  EXPECT_ERROR(FindNativeFunction("argmax_cpp")->Call(std::span(&two, 1))[0], kInvalidArgument,
               "argmax_cpp takes 1 input, 2 came");
}

TEST(NativeFunctionsTest, ArgmaxCostsOnlyTheBadInstance) {
  const std::vector<Instance> instances{
      {Tensor::Of<float>({2}, {0, 1})}, {}, {Tensor::Of<float>({2}, {1, 0})}};
  const auto results = FindNativeFunction("argmax_cpp")->Call(instances);
  ASSERT_EQ(results.size(), 3u);
  ASSERT_OK(results[0]);
  EXPECT_FALSE(results[1].ok());
  ASSERT_OK(results[2]);
  EXPECT_EQ(*(*results[2])[0].data_as<int32_t>(), 0);
}

}  // namespace
}  // namespace pipeserve
