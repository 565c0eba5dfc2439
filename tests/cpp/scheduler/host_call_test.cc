#include "scheduler/host_call.h"

#include <stdexcept>

#include "scheduler/fakes.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

// What `body` makes of the instances 1, 2, 3 when one value each is declared.
Results CallOnThree(FakeFunction::Body body) {
  FakeFunction function(std::move(body));
  const std::vector<Instance> instances = {One(1), One(2), One(3)};
  return CallHost(function, instances, 1, "Preprocess Failed");
}

TEST(CallHostTest, GivesTheResultsInOrder) {
  const Results results = CallOnThree([](std::span<const Instance> instances) {
    return Results(instances.begin(), instances.end());
  });
  ASSERT_EQ(results.size(), 3u);
  for (size_t i = 0; i < 3; ++i) {
    ASSERT_OK(results[i]);
    EXPECT_EQ(ValueOf(*results[i]), static_cast<float>(i + 1));
  }
}

TEST(CallHostTest, MissingResultsCostOnlyTheirInstances) {
  const Results results = CallOnThree([](auto) { return Results{One(7)}; });
  ASSERT_EQ(results.size(), 3u);
  ASSERT_OK(results[0]);
  EXPECT_EQ(ValueOf(*results[0]), 7);
  EXPECT_ERROR(results[1], kInternal, "Preprocess Failed: fake gave 1 results for 3 instances");
  EXPECT_ERROR(results[2], kInternal, "Preprocess Failed: fake gave 1 results for 3 instances");
}

TEST(CallHostTest, NoResultAtAllIsAnErrorOfEachInstance) {
  const Results results = CallOnThree([](auto) { return Results{}; });
  ASSERT_EQ(results.size(), 3u);
  for (const auto& result : results) EXPECT_ERROR(result, kInternal, "fake gave 0 results for 3");
}

TEST(CallHostTest, ResultsBeyondTheLastInstanceAreIgnored) {
  const Results results =
      CallOnThree([](auto) { return Results{One(1), One(2), One(3), InvalidArgument("fourth")}; });
  ASSERT_EQ(results.size(), 3u);
  for (const auto& result : results) EXPECT_OK(result);
}

TEST(CallHostTest, AWrongNumberOfValuesCostsOnlyItsInstance) {
  const Results results =
      CallOnThree([](auto) { return Results{Instance{}, One(2), Instance{One(3)[0], One(3)[0]}}; });
  EXPECT_ERROR(results[0], kInternal, "Preprocess Failed: fake returned 0 values, 1 are declared");
  EXPECT_OK(results[1]);
  EXPECT_ERROR(results[2], kInternal, "Preprocess Failed: fake returned 2 values, 1 are declared");
}

TEST(CallHostTest, AnErrorKeepsItsCode) {
  const Results results =
      CallOnThree([](auto) { return Results{One(1), NotFound("no such token"), One(3)}; });
  EXPECT_OK(results[0]);
  EXPECT_ERROR(results[1], kNotFound, "Preprocess Failed: no such token");
  EXPECT_OK(results[2]);
}

TEST(CallHostTest, AnExceptionIsAnErrorOfEachInstance) {
  const Results results = CallOnThree([](auto) -> Results { throw std::out_of_range("boom"); });
  ASSERT_EQ(results.size(), 3u);
  for (const auto& result : results) {
    EXPECT_ERROR(result, kInternal, "Preprocess Failed: boom");
  }
}

TEST(CallHostTest, SoIsAnExceptionOfAnyOtherType) {
  const Results results = CallOnThree([](auto) -> Results { throw 42; });
  ASSERT_EQ(results.size(), 3u);
  for (const auto& result : results) {
    EXPECT_ERROR(result, kInternal, "Preprocess Failed: fake threw what is no std::exception");
  }
}

TEST(CheckInputCountTest, NamesTheMethodAndBothCounts) {
  EXPECT_OK(CheckInputCount("fun1", 1, One(1)));
  EXPECT_ERROR(CheckInputCount("fun1", 2, One(1)), kInvalidArgument,
               "Input count 1 does not equal to input count 2 defined in method fun1");
  EXPECT_ERROR(CheckInputCount("fun1", 0, One(1)), kInvalidArgument, "input count 0 defined");
}

}  // namespace
}  // namespace pipeserve
