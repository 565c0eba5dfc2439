#include "scheduler/request_arena.h"

#include <atomic>
#include <thread>

#include "scheduler/fakes.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

TEST(RequestArenaTest, ItsResultsAreTheAnswer) {
  Answer answer;
  RequestArena arena({.deadline = Past(), .id = 7}, {One(1)}, answer.Done());
  EXPECT_EQ(arena.context().deadline, Past());
  EXPECT_EQ(arena.context().request_id, 7u);
  const auto inputs = arena.Begin();
  ASSERT_TRUE(inputs.has_value());
  EXPECT_EQ(ValueOf((*inputs)[0]), 1);
  ASSERT_TRUE(arena.Claim(OkStatus()));
  EXPECT_EQ(answer.count, 0);
  arena.Answer({One(2)});
  ASSERT_EQ(answer.count, 1);
  EXPECT_EQ(ValueOf(*answer.results[0]), 2);
  EXPECT_OK(arena.status());
  EXPECT_FALSE(*arena.context().cancelled);
  EXPECT_FALSE(arena.Claim(Cancelled("late")));
  EXPECT_OK(arena.status());
}

TEST(RequestArenaTest, OneThatWasGivenUpDoesNotBegin) {
  Answer answer;
  RequestArena arena({}, {One(1), One(2)}, answer.Done());
  ASSERT_TRUE(arena.Claim(Cancelled("gone")));
  EXPECT_FALSE(arena.Begin().has_value());
  EXPECT_TRUE(*arena.context().cancelled);
  EXPECT_EQ(arena.status(), Cancelled("gone"));
  arena.AnswerError(arena.status());
  ASSERT_EQ(answer.results.size(), 2u);
  for (const auto& result : answer.results) EXPECT_EQ(result.status(), Cancelled("gone"));
}

TEST(RequestArenaTest, InputsOfOneThatWasGivenUpAreFreedBeforeTheAnswer) {
  std::atomic<int> freed{0};
  float value = 1;
  Buffer bytes = Buffer::Wrap(&value, sizeof(value), [&] { ++freed; });
  Instance instance{Tensor(DataType::kFloat32, {1}, std::move(bytes))};
  RequestArena arena({}, {std::move(instance)}, [&](Results) { EXPECT_EQ(freed, 1); });
  ASSERT_TRUE(arena.Claim(DeadlineExceeded("late")));
  arena.AnswerError(arena.status());
}

TEST(RequestArenaTest, OfManyWhoWantToAnswerOneMay) {
  for (int i = 0; i < 100; ++i) {
    RequestArena arena({}, {One(1)}, nullptr);
    std::atomic<int> claims{0};
    {
      std::jthread first([&] { claims += arena.Claim(OkStatus()); });
      std::jthread second([&] { claims += arena.Claim(Cancelled("gone")); });
    }
    EXPECT_EQ(claims, 1);
  }
}

}  // namespace
}  // namespace pipeserve
