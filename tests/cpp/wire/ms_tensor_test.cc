#include "wire/ms_tensor.h"

#include <gtest/gtest.h>

#include <vector>

#include "ms_service.pb.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

TEST(MsTensorTest, EveryDataTypeHasANumber) {
  for (int i = static_cast<int>(DataType::kBool); i <= static_cast<int>(DataType::kBytes); ++i) {
    const auto dtype = static_cast<DataType>(i);
    EXPECT_EQ(DataTypeFromWire(DataTypeToWire(dtype)), dtype);
  }
  EXPECT_EQ(DataTypeToWire(DataType::kFloat32), ::mindspore::serving::proto::MS_FLOAT32);
  EXPECT_EQ(DataTypeFromWire(0), DataType::kUnknown);
  EXPECT_EQ(DataTypeFromWire(99), DataType::kUnknown);
  EXPECT_EQ(DataTypeFromWire(-1), DataType::kUnknown);
}

TEST(MsTensorTest, EmptyTensorAndScalarAreAccepted) {
  EXPECT_OK(CheckTensor(DataType::kInt8, std::vector<int64_t>{3, 0}, 0, 0));
  EXPECT_OK(CheckTensor(DataType::kInt8, {}, 1, 0));
}

TEST(MsTensorTest, TextTakesShapeOneOrNone) {
  EXPECT_OK(CheckTensor(DataType::kString, {}, 0, 1));
  EXPECT_OK(CheckTensor(DataType::kBytes, std::vector<int64_t>{1}, 0, 1));
}

TEST(MsTensorTest, BadTensorsAreRefusedInTheOriginalsWords) {
  const auto expect = [](DataType dtype, std::vector<int64_t> dims, size_t bytes, size_t items,
                         const char* fragment) {
    const Status status = CheckRequestTensor("x", dtype, dims, bytes, items);
    EXPECT_ERROR(status, kInvalidArgument,
                 "Instances input x check failed, detail: Tensor check failed: ");
    EXPECT_ERROR(status, kInvalidArgument, fragment);
  };
  const int64_t big = int64_t{1} << 62;
  expect(DataType::kFloat32, {2, 3}, 3, 0, "input data size 3 invalid");
  expect(DataType::kFloat32, {2}, 4, 0, "input data size 4 invalid");
  expect(DataType::kFloat32, {-1, 3}, 0, 0, "input  shape [-1, 3] invalid");
  expect(DataType::kFloat32, {0, 3}, 0, 0, "input  shape [0, 3] invalid");
  expect(DataType::kFloat32, {big, big}, 4, 0, "invalid");
  expect(DataType::kFloat64, {big}, 4, 0, "input data size 4 invalid");
  expect(DataType::kFloat32, std::vector<int64_t>(9, 1), 4, 0, "invalid");
  expect(DataType::kUnknown, {1}, 1, 0, "data type unknown invalid");
  expect(DataType::kString, {1}, 0, 0, "bytes or string type shape batch size can only be 1");
  expect(DataType::kBytes, {2}, 0, 2, "bytes or string type shape batch size can only be 1");
  expect(DataType::kString, {1, 1}, 0, 1,
         "bytes or string type input  shape can only be (1,) or empty, but given shape is [1, 1]");
}

TEST(MsTensorTest, AMessageDoesNotRepeatAMillionDimensions) {
  const Status status =
      CheckRequestTensor("x", DataType::kFloat32, std::vector<int64_t>(1'000'000, 1), 0, 0);
  ASSERT_FALSE(status.ok());
  EXPECT_LT(status.message().size(), 400u);
}

TEST(MsTensorTest, CodesAreTheOriginals) {
  EXPECT_EQ(ErrorMsgCode(StatusCode::kOk), 0);
  EXPECT_EQ(ErrorMsgCode(StatusCode::kInvalidArgument), 2);
  EXPECT_EQ(ErrorMsgCode(StatusCode::kNotFound), 2);
  EXPECT_EQ(ErrorMsgCode(StatusCode::kInternal), 2);
  EXPECT_EQ(ErrorMsgCode(StatusCode::kResourceExhausted), 1);
  EXPECT_EQ(ErrorMsgCode(StatusCode::kUnavailable), 1);
  EXPECT_EQ(ErrorMsgCode(StatusCode::kDeadlineExceeded), 1);
}

}  // namespace
}  // namespace pipeserve
