#include "executor/ascend/group_link.h"

#include <gtest/gtest.h>

namespace pipeserve::ascend {
namespace {

TEST(JoinLimitTest, IsLongerThanHcclWaits) {
  EXPECT_EQ(JoinLimit(nullptr), std::chrono::seconds(170));
  EXPECT_EQ(JoinLimit("600"), std::chrono::seconds(650));
}

TEST(JoinLimitTest, WhatIsNoTimeIsTheDefault) {
  for (const char* text : {"", "0", "-5", "long", "12s"}) {
    EXPECT_EQ(JoinLimit(text), JoinLimit(nullptr)) << text;
  }
}

}  // namespace
}  // namespace pipeserve::ascend
