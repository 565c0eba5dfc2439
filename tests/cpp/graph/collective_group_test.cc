#include "graph/collective_group.h"

#include "support/matchers.h"

namespace pipeserve {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

ReadOptions FourRanks() {
  ReadOptions options;
  options.rank_size = 4;
  options.groups["2-77"] = {1, 3};
  return options;
}

TEST(CollectiveGroupTest, WorldNamesNoRanks) {
  for (const char* name : {"hccl_world_group", "nccl_world_group", "WORLD_GROUP"}) {
    const auto group = ResolveGroup({name, "WORLD_GROUP", std::nullopt, 4}, FourRanks());
    ASSERT_OK(group);
    EXPECT_EQ(group->group, name);
    EXPECT_THAT(group->ranks, IsEmpty());
    EXPECT_EQ(group->rank_size, 4);
  }
  EXPECT_OK(ResolveGroup({"hccl_world_group", "0-1-2-3", {{0, 1, 2, 3}}, 4}, FourRanks()));
  EXPECT_ERROR(ResolveGroup({"hccl_world_group", "0-1", std::nullopt, 0}, FourRanks()),
               kInvalidArgument, "has ranks 0-1, all 4 were wanted");
}

TEST(CollectiveGroupTest, MembersComeFromAnySource) {
  const GroupReference references[] = {{"2-77", std::nullopt, std::nullopt, 0},
                                       {"2-77", "1-3", std::nullopt, 2},
                                       {"other", "1-3", std::nullopt, 0},
                                       {"other", std::nullopt, {{1, 3}}, 0}};
  for (const GroupReference& reference : references) {
    const auto group = ResolveGroup(reference, FourRanks());
    ASSERT_OK(group);
    EXPECT_THAT(group->ranks, ElementsAre(1, 3));
  }
}

TEST(CollectiveGroupTest, RefusesUnknownAndContradictoryGroups) {
  const auto refused = [](const GroupReference& reference) {
    return ResolveGroup(reference, FourRanks());
  };
  EXPECT_ERROR(refused({"2-78", std::nullopt, std::nullopt, 0}), kInvalidArgument,
               "group 2-78 is neither the world group nor in the group file");
  EXPECT_ERROR(refused({"2-77", "1-2", std::nullopt, 0}), kInvalidArgument,
               "has ranks 1-2 by the model and 1-3");
  EXPECT_ERROR(refused({"g", "1-2", {{1, 3}}, 0}), kInvalidArgument, "1-3 by another account");
  EXPECT_ERROR(refused({"g", "3-1", std::nullopt, 0}), kInvalidArgument, "ascending");
  EXPECT_ERROR(refused({"g", "1-4", std::nullopt, 0}), kInvalidArgument, "below 4");
  for (const char* text : {"", "1-", "-1", "1--2", "a-b", "1,2", "99999999999999999999"}) {
    EXPECT_EQ(refused({"g", text, std::nullopt, 0}).status().code(), StatusCode::kInvalidArgument)
        << text;
  }
}

}  // namespace
}  // namespace pipeserve
