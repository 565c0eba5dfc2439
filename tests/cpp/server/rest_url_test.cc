#include "server/rest_url.h"

#include <gtest/gtest.h>

#include "support/matchers.h"

namespace pipeserve {
namespace {

struct Good {
  const char* url;
  const char* servable;
  const char* method;
  uint64_t version;
};

TEST(RestUrlTest, EveryLegalForm) {
  for (const Good& good : {
           Good{"/model/add:fun", "add", "fun", 0},
           Good{"/model/add/version/3:fun", "add", "fun", 3},
           Good{"/version/3/model/add:fun", "add", "fun", 3},
           Good{"/model/add/version/0:fun", "add", "fun", 0},
           Good{"/model/add/version/4294967294:fun", "add", "fun", 4294967294},
           Good{"/model/add/version/1junk:fun", "add", "fun", 1},
           Good{"/model/model_version/version/2:version", "model_version", "version", 2},
           Good{"/model/add/:fun", "add", "fun", 0},
           Good{"/v1/model/add:fun", "add", "fun", 0},
           Good{"/model/add:fun?a=b", "add", "fun", 0},
           Good{"/model/add:a:b", "add", "a:b", 0},
       }) {
    const Result<RestTarget> target = ParseRestUrl(good.url);
    ASSERT_OK(target) << good.url;
    EXPECT_EQ(target->servable, good.servable) << good.url;
    EXPECT_EQ(target->method, good.method) << good.url;
    EXPECT_EQ(target->version, good.version) << good.url;
  }
}

TEST(RestUrlTest, BadUrlsAreRefusedInTheOriginalsWords) {
  const std::string check = "please check url, ";
  for (const auto& [url, fragment] : std::vector<std::pair<std::string, std::string>>{
           {"", "the keyword:[model] must contain."},
           {"/:fun", "the keyword:[model] must contain."},
           {"/version/1:fun", "the keyword:[model] must contain."},
           {"/model/add", "the keyword:[service method] must contain."},
           {"/model:fun",
            "the values of the keywords:[model] and [service method] must not be empty."},
           {"/model/add:",
            "the values of the keywords:[model] and [service method] must not be empty."},
           {"/model/add/version/x:fun", "the keyword:[version] value invalid, "},
           {"/model/add/version:fun", "the keyword:[version] value invalid, "},
           {"/model/add/version/-1:fun", "version number range failed, request version number -1"},
           {"/model/add/version/4294967295:fun",
            "version number range failed, request version number 4294967295"},
           {"/model/add/version/99999999999999999999:fun", "version number range failed"},
       }) {
    SCOPED_TRACE(url);
    EXPECT_ERROR(ParseRestUrl(url), kInvalidArgument, check + fragment);
  }
}

}  // namespace
}  // namespace pipeserve
