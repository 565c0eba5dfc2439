#include "server/admin_url.h"

#include <gtest/gtest.h>

#include "support/matchers.h"

namespace pipeserve {
namespace {

TEST(AdminUrlTest, AnActionNamesItsServable) {
  for (const std::string action : {"load", "unload", "switch", "rollback"}) {
    const auto target = ParseAdminPath("/v2/repository/models/matmul-2.1/" + action);
    ASSERT_OK(target);
    EXPECT_EQ(target->servable, "matmul-2.1");
    EXPECT_EQ(target->action, action);
  }
}

TEST(AdminUrlTest, NamesAreDecoded) {
  const auto name = [](const std::string& encoded) {
    const auto target = ParseAdminPath("/v2/repository/models/" + encoded + "/load");
    EXPECT_OK(target) << encoded;
    return target.ok() ? target->servable : "";
  };
  EXPECT_EQ(name("my%20model"), "my model");
  EXPECT_EQ(name("%e6%a8%A1"), "模");
  EXPECT_EQ(name("100%25"), "100%");
  EXPECT_EQ(name("load"), "load");
  EXPECT_EQ(name("..."), "...");
}

TEST(AdminUrlTest, OtherPathsAreAnsweredWithWhatThereIs) {
  for (const std::string path :
       {"", "/", "/v2/repository/models", "/v2/repository/models/", "/v2/repository/models/add",
        "/v2/repository/models/add/", "/v2/repository/models/add/delete",
        "/v2/repository/models/add/load/", "/v2/repository/models/add/Load",
        "/v2/repository/models/a/b/load", "/v1/repository/models/add/load", "v2/status"}) {
    EXPECT_ERROR(ParseAdminPath(path), kNotFound, "there is no '" + path + "', there are GET ");
    EXPECT_ERROR(ParseAdminPath(path), kNotFound, "load, unload, switch, rollback");
  }
}

TEST(AdminUrlTest, NamesThatAreNoFolderAreRefused) {
  for (const std::string name : {"", ".", "..", "%2e%2e", "a%2fb", "%2F", "%00", "a%0ab", "%7f",
                                 "%", "a%2", "%zz", "%+1", "%ff", "%c3", "\xff"}) {
    EXPECT_ERROR(ParseAdminPath("/v2/repository/models/" + name + "/load"), kInvalidArgument,
                 "is no name of a servable");
  }
}

}  // namespace
}  // namespace pipeserve
