#include "pipeserve/status.h"

#include <memory>

#include "support/matchers.h"

namespace pipeserve {
namespace {

Result<int> Half(int x) {
  if (x % 2 != 0) return InvalidArgument("odd");
  return x / 2;
}

Result<int> Quarter(int x) {
  PIPESERVE_ASSIGN_OR_RETURN(const int half, Half(x));
  PIPESERVE_ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}

TEST(StatusTest, CodesHaveGrpcNumbersAndNames) {
  EXPECT_EQ(static_cast<int>(StatusCode::kUnavailable), 14);
  EXPECT_EQ(StatusCodeName(StatusCode::kResourceExhausted), "RESOURCE_EXHAUSTED");
  EXPECT_EQ(StatusCodeName(static_cast<StatusCode>(77)), "CODE(77)");
}

TEST(StatusTest, ContextStandsBeforeTheMessageOfAnError) {
  EXPECT_EQ(NotFound("no file").WithContext("graph 0").ToString(), "NOT_FOUND: graph 0: no file");
  EXPECT_OK(OkStatus().WithContext("graph 0"));
}

TEST(ResultTest, MacroHandsOnTheFirstError) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_ERROR(Quarter(6), kInvalidArgument, "odd");
}

TEST(ResultTest, HoldsMoveOnlyValues) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(3));
  std::unique_ptr<int> value = *std::move(result);
  EXPECT_EQ(*value, 3);
}

TEST(ResultTest, SuccessWithoutAValueIsAnError) {
  EXPECT_ERROR(Result<int>(OkStatus()), kInternal, "without a value");
}

}  // namespace
}  // namespace pipeserve
