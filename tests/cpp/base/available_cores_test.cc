#include "base/available_cores.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

namespace pipeserve {
namespace {

TEST(AvailableCoresTest, AQuotaIsRoundedUpToWholeCores) {
  EXPECT_EQ(CoresOfQuota("100000 100000\n"), 1);
  EXPECT_EQ(CoresOfQuota("150000 100000\n"), 2);
  EXPECT_EQ(CoresOfQuota("1000 100000"), 1);
  EXPECT_EQ(CoresOfQuota("9223372036854775807 1"), 1024);
}

TEST(AvailableCoresTest, WhatIsNoQuotaLimitsNothing) {
  for (const char* text : {"max 100000\n", "", "\n", "100000", "100000 ", "100000 0", "-1 100000",
                           "99999999999999999999 1", "x y"}) {
    EXPECT_EQ(CoresOfQuota(text), std::nullopt) << text;
  }
}

TEST(AvailableCoresTest, ProcessesShareEvenly) {
  EXPECT_EQ(ShareOfCores(8, 1), 8);
  EXPECT_EQ(ShareOfCores(8, 3), 2);
  EXPECT_EQ(ShareOfCores(2, 8), 1);
}

TEST(AvailableCoresTest, CountsNoCoreThatTheProcessMayNotUse) {
  int cores = 0;
  std::jthread([&cores] {  // The affinity of a thread goes with it.
    cpu_set_t allowed, one;
    ASSERT_EQ(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    CPU_ZERO(&one);
    for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++core) {
      if (CPU_ISSET(core, &allowed)) CPU_SET(core, &one);
    }
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    cores = AvailableCores();
  })
      .join();
  EXPECT_EQ(cores, 1);
  EXPECT_GE(AvailableCores(), 1);
}

}  // namespace
}  // namespace pipeserve
