#include "graph/file_writer.h"

#include <iterator>

#include "support/fixtures.h"
#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

namespace fs = std::filesystem;

size_t FilesIn(const fs::path& path) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(path), {}));
}

TEST(WriteFileTest, ReplacesTheWholeFileAndLeavesNothingBeside) {
  TestFolder directory;
  const fs::path path = directory.path() / "model";
  ASSERT_OK(WriteFile(path, "a long first version"));
  ASSERT_OK(WriteFile(path, std::string_view("\0two", 4)));
  EXPECT_EQ(FileBytes(path), std::string("\0two", 4));
  EXPECT_EQ(FilesIn(directory.path()), 1u);
}

TEST(WriteFileTest, FailureNamesThePath) {
  TestFolder directory;
  const fs::path missing = directory.path() / "missing" / "model";
  EXPECT_ERROR(WriteFile(missing, "x"), kUnavailable, "cannot write " + missing.string());
}

TEST(WriteFileTest, FailedRenameKeepsWhatIsThere) {
  TestFolder directory;
  const fs::path path = directory.path() / "model";
  fs::create_directories(path / "inside");
  EXPECT_ERROR(WriteFile(path, "x"), kUnavailable, path.string());
  EXPECT_TRUE(fs::exists(path / "inside"));
  EXPECT_EQ(FilesIn(directory.path()), 1u);
}

}  // namespace
}  // namespace pipeserve
