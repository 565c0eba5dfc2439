#include "pipeserve/tensor.h"

#include "support/matchers.h"

namespace pipeserve {
namespace {

TEST(ShapeTest, CountsElements) {
  EXPECT_EQ(Shape{}.num_elements(), 1);
  EXPECT_EQ((Shape{128, 96}).num_elements(), 128 * 96);
  EXPECT_EQ((Shape{3, 0}).num_elements(), 0);
  EXPECT_EQ((Shape{Shape::kUnknownDim, 96}).num_elements(), -1);
  EXPECT_EQ((Shape{int64_t{1} << 40, int64_t{1} << 40}).num_elements(), -1);
}

TEST(ShapeTest, RefusesWhatItCannotHold) {
  const std::vector<int64_t> nine(9, 1), negative = {2, -3};
  EXPECT_ERROR(Shape::Create(nine), kInvalidArgument, "9 dimensions");
  EXPECT_ERROR(Shape::Create(negative), kInvalidArgument, "dimension -3");
}

TEST(TensorTest, CreateHoldsSizeAgainstShape) {
  EXPECT_OK(Tensor::Create(DataType::kFloat32, {2, 2}, Buffer::Allocate(16)));
  EXPECT_ERROR(Tensor::Create(DataType::kFloat32, {2, 2}, Buffer::Allocate(15)), kInvalidArgument,
               "float32[2,2] takes 16 bytes, 15 came");
  EXPECT_ERROR(Tensor::Create(DataType::kUnknown, {2}, Buffer()), kInvalidArgument, "unknown");
}

TEST(TensorTest, CopiesNumbersInAndOut) {
  const std::vector<double> numbers = {1, -2, 3, -4, 5, -6};
  const Result<Tensor> tensor = Tensor::CopyOf({2, 3}, numbers);
  ASSERT_OK(tensor);
  EXPECT_EQ(tensor->ToString(), "float64[2,3]");
  const Result<std::vector<double>> back = tensor->ToVector<double>();
  ASSERT_OK(back);
  EXPECT_EQ(*back, numbers);
  EXPECT_ERROR(tensor->ToVector<float>(), kInvalidArgument,
               "the tensor is float64[2,3], its elements are wanted as float32");
  EXPECT_ERROR(Tensor::CopyOf({2, 2}, numbers), kInvalidArgument, "takes 32 bytes, 48 came");
  EXPECT_OK(Tensor::CopyOf({2}, std::span(numbers).first(2)));
  EXPECT_OK(Tensor::CopyOf({3}, std::array<bool, 3>{}));
}

TEST(TensorTest, CopiesOutWhatIsNotAligned) {
  const Buffer bytes = Buffer::CopyOf(std::as_bytes(std::span("?\1\0\0\0\2\0\0", 9)));
  const Tensor tensor(DataType::kInt32, {2}, bytes.Slice(1, 8));
  const Result<std::vector<int32_t>> numbers = tensor.ToVector<int32_t>();
  ASSERT_OK(numbers);
  EXPECT_THAT(*numbers, testing::ElementsAre(1, 2));
  const auto none = Tensor(DataType::kInt32, Shape{0}).ToVector<int32_t>();
  ASSERT_OK(none);
  EXPECT_TRUE(none->empty());
}

TEST(TensorTest, KeepsTextItems) {
  const std::string_view items[] = {"one", "", "three"};
  const Tensor tensor = Tensor::FromStrings(DataType::kString, {3}, items);
  EXPECT_THAT(tensor.Strings(), testing::ElementsAre("one", "", "three"));
  EXPECT_THAT(Tensor::FromString(DataType::kBytes, "x").Strings(), testing::ElementsAre("x"));
}

TEST(TensorTest, NamesItself) {
  EXPECT_EQ(Tensor::Of<int32_t>({2, 1}, {1, 2}).ToString(), "int32[2,1]");
  EXPECT_EQ((TensorInfo{"x", DataType::kFloat16, {-1, 4}}).ToString(), "float16[?,4]");
}

TEST(DataTypeTest, NamesGoBothWays) {
  for (int i = 1; i <= 14; ++i) {
    const auto dtype = static_cast<DataType>(i);
    EXPECT_EQ(DataTypeFromName(DataTypeName(dtype)), dtype);
  }
  EXPECT_EQ(DataTypeFromName("float8"), DataType::kUnknown);
}

}  // namespace
}  // namespace pipeserve
