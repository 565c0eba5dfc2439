#include "graph/model_file.h"
#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

TEST(WriteGroupFileTest, GroupsComeBack) {
  TestFolder directory;
  const auto path = directory.path() / "group_config.pb";
  const GroupMap groups = {{"2-17", {0, 1}}, {"2-18", {1, 3}}};
  ASSERT_OK(WriteGroupFile(path, groups));
  const Result<GroupMap> read = ReadGroupFile(path);
  ASSERT_OK(read);
  EXPECT_EQ(*read, groups);
}

TEST(WriteGroupFileTest, NoGroupsAreAnEmptyFile) {
  TestFolder directory;
  const auto path = directory.path() / "group_config.pb";
  ASSERT_OK(WriteGroupFile(path, {}));
  EXPECT_EQ(std::filesystem::file_size(path), 0u);
  const Result<GroupMap> read = ReadGroupFile(path);
  ASSERT_OK(read);
  EXPECT_THAT(*read, testing::IsEmpty());
}

TEST(WriteGroupFileTest, FailureNamesThePath) {
  EXPECT_ERROR(WriteGroupFile("/nowhere/group_config.pb", {}), kUnavailable,
               "/nowhere/group_config.pb");
}

}  // namespace
}  // namespace pipeserve
