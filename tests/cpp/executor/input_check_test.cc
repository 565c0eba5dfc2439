#include "executor/input_check.h"

#include "support/matchers.h"

namespace pipeserve {
namespace {

const GraphSignature kSignature{
    {{"x", DataType::kFloat32, {2, 3}}, {"n", DataType::kInt32, {Shape::kUnknownDim, 4}}}, {}};

Status Check(const Tensor& x, const Tensor& n) {
  return CheckInputs(3, kSignature, std::vector<Tensor>{x, n});
}

Tensor X() { return Tensor(DataType::kFloat32, {2, 3}); }
Tensor N() { return Tensor(DataType::kInt32, {5, 4}); }

TEST(InputCheckTest, KnownShapesCompareBytesOnly) {
  EXPECT_OK(Check(X(), N()));
  EXPECT_OK(Check(Tensor(DataType::kFloat32, {6}), N()));
  EXPECT_OK(Check(Tensor(DataType::kFloat32, {3, 1, 2}), N()));
  EXPECT_ERROR(Check(Tensor(DataType::kFloat32, {2, 2}), N()), kInvalidArgument,
               "Given model input 0 size 16 not match the size 24 defined in model: input x is "
               "float32[2,2], graph 3 wants float32[2,3]");
}

TEST(InputCheckTest, UnknownDimensionsTakeWhatComes) {
  EXPECT_OK(Check(X(), Tensor(DataType::kInt32, {0, 4})));
  EXPECT_OK(Check(X(), Tensor(DataType::kInt32, {1000, 4})));
  EXPECT_ERROR(Check(X(), Tensor(DataType::kInt32, {4, 5})), kInvalidArgument,
               "Given model input 1 shape [4,5] not match the shape [?,4]");
  EXPECT_ERROR(Check(X(), Tensor(DataType::kInt32, {20})), kInvalidArgument,
               "shape [20] not match");
}

TEST(InputCheckTest, DataTypesAreCalledAsTheOriginalDoes) {
  EXPECT_ERROR(Check(Tensor(DataType::kInt32, {2, 3}), N()), kInvalidArgument,
               "Given model input 0 data type kMSI_Int32 not match the data type kMSI_Float32 "
               "defined in model");
  EXPECT_ERROR(Check(Tensor(), N()), kInvalidArgument, "kMSI_Unknown");
  EXPECT_ERROR(Check(Tensor::FromString(DataType::kString, "123456789012345678901234"), N()),
               kInvalidArgument, "kMSI_String");
}

TEST(InputCheckTest, CountsMustAgree) {
  EXPECT_ERROR(CheckInputs(3, kSignature, std::vector<Tensor>{X()}), kInvalidArgument,
               "Given model inputs size 1 less than model inputs size 2");
  EXPECT_ERROR(CheckInputs(3, kSignature, std::vector<Tensor>{X(), N(), N()}), kInvalidArgument,
               "Given model inputs size 3 more than model inputs size 2");
}

TEST(InputCheckTest, BytesMustBeWhatTheShapeSays) {
  const Tensor few(DataType::kInt32, {5, 4}, Buffer::Allocate(76));
  EXPECT_ERROR(Check(X(), few), kInvalidArgument,
               "Given model input 1 size 76 not match the size 80");
  const Tensor huge(DataType::kInt32, {INT64_MAX, 4}, Buffer::Allocate(16));
  EXPECT_ERROR(Check(X(), huge), kInvalidArgument, "Given model input 1 size 16 not match");
}

}  // namespace
}  // namespace pipeserve
