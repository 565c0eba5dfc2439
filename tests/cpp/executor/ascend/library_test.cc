#include "executor/ascend/library.h"

#include <cstdlib>

#include "base/str_cat.h"
#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve::ascend {
namespace {

TEST(LibraryTest, ADirectoryThatIsNamedHasToBeThere) {
  EXPECT_ERROR(Library::Load({.directory = "/nowhere/lib64"}), kFailedPrecondition,
               "there is no directory /nowhere/lib64 to load Ascend's runtime libraries from");
}

TEST(LibraryTest, OneWithoutTheLibrariesIsNotPassedOver) {
  const TestFolder folder;
  EXPECT_ERROR(Library::Load({.directory = folder.path().string()}), kFailedPrecondition,
               "Ascend's runtime cannot be loaded: ");
  ::setenv("ASCEND_HOME_PATH", folder.path().c_str(), 1);
  EXPECT_ERROR(Library::Load({}), kFailedPrecondition,
               StrCat("there is no directory ", (folder.path() / "lib64").string()));
  ::unsetenv("ASCEND_HOME_PATH");
}

TEST(LibraryTest, OneThatIsNoLibraryIsNamedWithWhatTheLoaderSays) {
  const TestFolder folder;
  folder.Write("libascendcl.so", "no library");
  const Status status = Library::Load({.directory = folder.path().string()}).status();
  EXPECT_ERROR(status, kFailedPrecondition, "libascendcl.so: file too short");
  EXPECT_ERROR(status, kFailedPrecondition, "libacl_rt.so: cannot open shared object file");
}

}  // namespace
}  // namespace pipeserve::ascend
