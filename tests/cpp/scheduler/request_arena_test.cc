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
  EXPECT_FALSE(arena.context().is_cancelled());
  EXPECT_FALSE(arena.Claim(Cancelled("late")));
  EXPECT_OK(arena.status());
}

TEST(RequestArenaTest, OneThatWasGivenUpDoesNotBegin) {
  Answer answer;
  RequestArena arena({}, {One(1), One(2)}, answer.Done());
  ASSERT_TRUE(arena.Claim(Cancelled("gone")));
  EXPECT_FALSE(arena.Begin().has_value());
  EXPECT_TRUE(arena.context().is_cancelled());
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

TEST(RequestArenaTest, WhatTheAdmissionGaveIsBackBeforeTheAnswer) {
  Admission admission({});
  const auto check = [&](size_t bytes) {
    return [&admission, bytes](Results) {
      EXPECT_EQ(admission.requests(), 0u);
      EXPECT_EQ(admission.bytes(), bytes);
    };
  };
  const auto info = [&] { return RequestInfo{.ticket = *admission.Enter(4)}; };
  {
    RequestArena ran(info(), {One(1)}, check(0));
    ran.Begin();
    ASSERT_TRUE(ran.Claim(OkStatus()));
    ran.Answer({One(1)});
  }
  {
    RequestArena never_ran(info(), {One(1)}, check(0));
    ASSERT_TRUE(never_ran.Claim(Cancelled("gone")));
    never_ran.AnswerError(never_ran.status());
  }
  {
    RequestArena given_up(info(), {One(1)}, check(4));  // Its runner still has the inputs.
    given_up.Begin();
    ASSERT_TRUE(given_up.Claim(Cancelled("gone")));
    given_up.AnswerError(given_up.status());
  }
  EXPECT_EQ(admission.bytes(), 0u);
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
