#include "executor/cpu/thread_team.h"

#include <gtest/gtest.h>

#include <atomic>
#include <latch>

namespace pipeserve {
namespace {

// How often For() gave out each of `total` items; sees that ranges and members are sound.
std::vector<int> Visits(ThreadTeam& team, int64_t total, int64_t grain) {
  std::vector<std::atomic<int>> counts(static_cast<size_t>(total));
  team.For(total, grain, [&](int64_t begin, int64_t end, int member) {
    EXPECT_TRUE(0 <= begin && begin <= end && end <= total) << begin << " to " << end;
    EXPECT_TRUE(end - begin >= grain || end == total) << begin << " to " << end;
    EXPECT_TRUE(0 <= member && member < team.size()) << member;
    for (int64_t i = begin; i < end; ++i) counts[static_cast<size_t>(i)].fetch_add(1);
  });
  return {counts.begin(), counts.end()};
}

TEST(ThreadTeamTest, GivesOutEveryItemOnce) {
  for (const int threads : {1, 2, 5}) {
    ThreadTeam team(threads);
    EXPECT_EQ(team.size(), threads);
    for (const int64_t total : {0, 1, 2, 7, 64, 1001}) {
      for (const int64_t grain : {1, 3, 64, 5000}) {
        EXPECT_EQ(Visits(team, total, grain), std::vector<int>(static_cast<size_t>(total), 1))
            << threads << " threads, " << total << " items by " << grain;
      }
    }
  }
}

TEST(ThreadTeamTest, SmallWorkStaysWithTheCaller) {
  ThreadTeam team(3);
  const auto caller = std::this_thread::get_id();
  int calls = 0;
  team.For(10, 10, [&](int64_t, int64_t, int member) {
    ++calls;
    EXPECT_EQ(member, 0);
    EXPECT_EQ(std::this_thread::get_id(), caller);
  });
  EXPECT_EQ(calls, 1);
}

TEST(ThreadTeamTest, MembersWorkSideBySide) {
  ThreadTeam team(3);
  std::latch all(3);  // Opens only when all three are inside the body at once.
  team.For(3, 1, [&](int64_t, int64_t, int) { all.arrive_and_wait(); });
}

TEST(ThreadTeamTest, ASecondCallerWorksAloneInsteadOfWaiting) {
  ThreadTeam team(2);
  std::latch inside(2), release(1);
  std::jthread first([&] {
    team.For(2, 1, [&](int64_t, int64_t, int) {
      inside.count_down();
      release.wait();
    });
  });
  inside.wait();  // The helper is taken until `release`.
  EXPECT_EQ(Visits(team, 100, 1), std::vector<int>(100, 1));
  release.count_down();
}

TEST(ThreadTeamTest, ManyCallersGetAllTheirItems) {
  ThreadTeam team(3);
  std::vector<std::jthread> callers;
  for (int caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&team] {
      for (int i = 0; i < 300; ++i) {
        ASSERT_EQ(Visits(team, 50, 1), std::vector<int>(50, 1));
      }
    });
  }
}

}  // namespace
}  // namespace pipeserve
