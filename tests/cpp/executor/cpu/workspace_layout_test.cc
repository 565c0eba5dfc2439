#include "executor/cpu/workspace_layout.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace pipeserve {
namespace {

TEST(WorkspaceLayoutTest, RangesAreAlignedToACacheLine) {
  WorkspaceLayout layout;
  EXPECT_EQ(layout.size(), 0u);
  EXPECT_EQ(layout.Take(1), 0u);
  EXPECT_EQ(layout.Take(64), 64u);
  EXPECT_EQ(layout.Take(65), 128u);
  EXPECT_EQ(layout.size(), 256u);
}

TEST(WorkspaceLayoutTest, ADeadValueLeavesItsPlace) {
  WorkspaceLayout layout;
  const size_t a = layout.Take(128);
  layout.Take(64);
  layout.Give(a, 128);
  EXPECT_EQ(layout.Take(100), a);
  EXPECT_EQ(layout.size(), 192u);
}

TEST(WorkspaceLayoutTest, NeighboursJoinWhateverTheOrder) {
  for (const std::vector<size_t>& order :
       {std::vector<size_t>{0, 1, 2}, {2, 1, 0}, {0, 2, 1}, {1, 0, 2}}) {
    WorkspaceLayout layout;
    const size_t offsets[] = {layout.Take(64), layout.Take(64), layout.Take(64)};
    layout.Take(64);
    for (const size_t i : order) layout.Give(offsets[i], 64);
    EXPECT_EQ(layout.Take(192), 0u);
    EXPECT_EQ(layout.size(), 256u);
  }
}

TEST(WorkspaceLayoutTest, TheTightestPlaceIsTaken) {
  WorkspaceLayout layout;
  const size_t wide = layout.Take(256);
  layout.Take(64);
  const size_t narrow = layout.Take(128);
  layout.Take(64);
  layout.Give(wide, 256);
  layout.Give(narrow, 128);
  EXPECT_EQ(layout.Take(128), narrow);
}

TEST(WorkspaceLayoutTest, AFreeEndGrows) {
  WorkspaceLayout layout;
  layout.Take(64);
  const size_t last = layout.Take(64);
  layout.Give(last, 64);
  EXPECT_EQ(layout.Take(640), last);
  EXPECT_EQ(layout.size(), 704u);
}

TEST(WorkspaceLayoutTest, EmptyValuesTakeNoRoom) {
  WorkspaceLayout layout;
  const size_t offset = layout.Take(0);
  layout.Give(offset, 0);
  EXPECT_EQ(layout.size(), 0u);
}

TEST(WorkspaceLayoutTest, LiveRangesNeverOverlap) {
  struct Range {
    size_t offset, bytes;
  };
  std::mt19937 random(7);
  WorkspaceLayout layout;
  std::vector<Range> live;
  for (int i = 0; i < 3000; ++i) {
    if (!live.empty() && random() % 2 == 0) {
      const size_t at = random() % live.size();
      layout.Give(live[at].offset, live[at].bytes);
      live.erase(live.begin() + static_cast<ptrdiff_t>(at));
      continue;
    }
    const size_t bytes = 1 + random() % 500;
    const Range taken{layout.Take(bytes), bytes};
    ASSERT_LE(taken.offset + taken.bytes, layout.size());
    for (const Range& other : live) {
      ASSERT_TRUE(taken.offset + taken.bytes <= other.offset ||
                  other.offset + other.bytes <= taken.offset);
    }
    live.push_back(taken);
  }
  for (const Range& range : live) layout.Give(range.offset, range.bytes);
  EXPECT_EQ(layout.Take(layout.size()), 0u);  // All of it is one free range again.
}

}  // namespace
}  // namespace pipeserve
