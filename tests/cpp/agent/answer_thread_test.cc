#include "agent/answer_thread.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "support/gate.h"

namespace pipeserve {
namespace {

TEST(AnswerThreadTest, AnswersInOrderAndIsDrainedThen) {
  std::vector<int> answered;  // Of the thread until it is drained.
  Gate door;
  AnswerThread thread;
  thread.Drain();  // Of nothing.
  thread.Add([&] { door.Pass(); });
  for (int i = 0; i < 3; ++i) thread.Add([&answered, i] { answered.push_back(i); });
  EXPECT_TRUE(door.WaitForArrivals(1));
  door.Open();
  thread.Drain();
  EXPECT_EQ(answered, (std::vector<int>{0, 1, 2}));
}

TEST(AnswerThreadTest, WhatItWasGivenIsAnsweredBeforeItEnds) {
  std::vector<int> answered;
  std::optional<AnswerThread> thread(std::in_place);
  for (int i = 0; i < 3; ++i) thread->Add([&answered, i] { answered.push_back(i); });
  thread.reset();
  EXPECT_EQ(answered, (std::vector<int>{0, 1, 2}));
}

}  // namespace
}  // namespace pipeserve
