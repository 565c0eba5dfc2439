#include "scheduler/call_pace.h"

#include <gtest/gtest.h>

namespace pipeserve {
namespace {

using std::chrono::microseconds;

constexpr auto kQuick = microseconds(2);

TEST(CallPaceTest, BriefIsWhatHasOftenBeenBrief) {
  CallPace pace;
  EXPECT_FALSE(pace.IsBrief(1));
  for (int i = 0; i < 3; ++i) pace.Add(kQuick, 1);
  EXPECT_FALSE(pace.IsBrief(1));
  for (int i = 0; i < 30; ++i) pace.Add(kQuick, 1);
  EXPECT_TRUE(pace.IsBrief(1));
  EXPECT_FALSE(pace.IsBrief(10));
  for (int i = 0; i < 30; ++i) pace.Add(2 * CallPace::kBrief, 1);
  EXPECT_FALSE(pace.IsBrief(1));
}

TEST(CallPaceTest, InstancesOfOneCallShareItsTime) {
  CallPace pace;
  for (int i = 0; i < 40; ++i) pace.Add(10 * kQuick, 10);
  EXPECT_TRUE(pace.IsBrief(1));
  EXPECT_FALSE(pace.IsBrief(10));
}

TEST(CallPaceTest, OneThatWasInterruptedForLongCountsLittle) {
  CallPace pace;
  for (int i = 0; i < 40; ++i) pace.Add(kQuick, 1);
  pace.Add(std::chrono::seconds(1), 1);
  EXPECT_TRUE(pace.IsBrief(1));
}

TEST(CallPaceTest, EveryOtherLongCallIsTooMany) {
  CallPace pace;
  for (int i = 0; i < 40; ++i) pace.Add(i % 2 == 0 ? kQuick : std::chrono::milliseconds(10), 1);
  EXPECT_FALSE(pace.IsBrief(1));
}

}  // namespace
}  // namespace pipeserve
