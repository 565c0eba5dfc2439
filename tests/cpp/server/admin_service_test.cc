#include "server/admin_service.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/str_cat.h"
#include "server/test_servable.h"
#include "support/gate.h"
#include "support/matchers.h"
#include "support/mutator.h"

namespace pipeserve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kLoad = "/v2/repository/models/add/load";

// What an action is called with.
std::string InputsOf(const Instance& instance) {
  std::vector<std::string> texts;
  for (const Tensor& tensor : instance) texts.emplace_back(tensor.Strings().at(0));
  return StrJoin(texts, " ");
}

Result<Instance> Reply(std::string_view json) {
  return Instance{Tensor::FromString(DataType::kString, json)};
}

std::string ErrorOf(const HttpAnswer& answer) {
  simdjson::dom::parser parser;
  std::string_view text;
  EXPECT_EQ(parser.parse(answer.body)["error"].get(text), simdjson::SUCCESS) << answer.body;
  return std::string(text);
}

class AdminServiceTest : public ::testing::Test {
 protected:
  ~AdminServiceTest() override { gate_.Open(); }  // Before the service is closed.

  void Serve(Body action) {
    service_.emplace(
        &dispatcher_, [] { return R"({"servables": []})"; },
        MakeHostFunction("operate", std::move(action)));
  }

  std::future<HttpAnswer> Post(const std::string& url, std::string body = "") {
    const auto promise = std::make_shared<std::promise<HttpAnswer>>();
    service_->Post({.url = url, .body = std::move(body), .content_type = content_type_},
                   [promise](const HttpService::MakeAnswer& make) { promise->set_value(make()); });
    return promise->get_future();
  }

  HttpAnswer Ask(const std::string& url, std::string body = "") {
    std::future<HttpAnswer> answer = Post(url, std::move(body));
    if (answer.wait_for(std::chrono::seconds(10)) == std::future_status::ready) return answer.get();
    ADD_FAILURE() << url << " is not answered";
    return {};
  }

  // As many actions as run at once, which stay until the gate is opened, and as many as may wait.
  std::vector<std::future<HttpAnswer>> FillUp() {
    std::vector<std::future<HttpAnswer>> all;
    while (all.size() < AdminService::kWorkers + AdminService::kMaxWaiting) {
      all.push_back(Post(StrCat("/v2/repository/models/", all.size(), "/load")));
      if (all.size() == AdminService::kWorkers) {
        EXPECT_TRUE(gate_.WaitForArrivals(AdminService::kWorkers));
      }
    }
    return all;
  }

  Dispatcher dispatcher_{DispatcherOptions{}};
  Gate gate_;
  std::string content_type_ = "application/json";
  std::optional<AdminService> service_;
};

TEST_F(AdminServiceTest, WhatAPageOfTheWebCouldHaveABrowserSendIsRefused) {
  Serve([](const Instance&) { return Reply("{}"); });
  for (const char* type :
       {"", "text/plain", "application/x-www-form-urlencoded", "application/jsonx"}) {
    content_type_ = type;
    const HttpAnswer answer = Ask(kLoad);
    EXPECT_EQ(answer.http_status, 415) << type;
    EXPECT_EQ(ErrorOf(answer), StrCat("Content-Type is '", type, "', wanted application/json"));
  }
  content_type_ = "application/json; charset=utf-8";
  EXPECT_EQ(Ask(kLoad).http_status, 200);
}

TEST_F(AdminServiceTest, PagesAreReadAtOnce) {
  Serve(Echo);
  const auto get = [&](const std::string& url) { return service_->AnswerAtOnce("GET", url); };
  EXPECT_EQ(get("/v2/health/live").body, R"({"live": true})");
  EXPECT_EQ(get("/v2/health/ready").http_status, 503);
  EXPECT_EQ(get("/v2/status").http_status, 200);
  EXPECT_EQ(get("/v2/status?pretty=1").body, R"({"servables": []})");
  const auto servable = TestServable("add", 1);
  ASSERT_OK(dispatcher_.versions().Reserve("add", 1));
  Publish(dispatcher_.versions(), "add", 1, servable);
  EXPECT_EQ(get("/v2/health/ready").http_status, 200);
  servable->Stop();
}

TEST_F(AdminServiceTest, AnActionGetsThreeStringsAndGivesTheAnswer) {
  std::vector<std::string> seen;
  Serve([&](const Instance& instance) {
    seen.push_back(InputsOf(instance));
    return Reply(R"({"version": 2})");
  });
  EXPECT_EQ(Ask(kLoad).http_status, 200);
  EXPECT_EQ(Ask("/v2/repository/models/my%20model/switch?x=1", R"( {"version": 2} )").body,
            R"({"version": 2})");
  EXPECT_THAT(seen, ElementsAre("load add {}", R"(switch my model  {"version": 2} )"));
}

TEST_F(AdminServiceTest, PathsAndMethodsThatThereAreNot) {
  Serve(Echo);
  const auto ask = [&](const std::string& method, const std::string& url) {
    return method == "POST" ? Ask(url) : service_->AnswerAtOnce(method, url);
  };
  for (const std::string method : {"GET", "POST", "DELETE", "HEAD"}) {
    const HttpAnswer unknown = ask(method, "/v2/repository/index");
    EXPECT_EQ(unknown.http_status, 404);
    EXPECT_THAT(ErrorOf(unknown), HasSubstr("there is no '/v2/repository/index', there are GET "));
  }
  for (const std::string method : {"GET", "PUT"}) {
    const HttpAnswer wrong = ask(method, kLoad);
    EXPECT_EQ(wrong.http_status, 405);
    EXPECT_EQ(wrong.allow, "POST");
    EXPECT_EQ(ErrorOf(wrong), kLoad + " has the method POST, not " + method);
  }
  for (const std::string method : {"POST", "DELETE"}) {
    for (const std::string page : {"/v2/status", "/v2/health/live", "/v2/health/ready"}) {
      const HttpAnswer wrong = ask(method, page);
      EXPECT_EQ(wrong.http_status, 405);
      EXPECT_EQ(wrong.allow, "GET");
      EXPECT_EQ(ErrorOf(wrong), page + " has the method GET, not " + method);
    }
  }
  EXPECT_EQ(Ask("/v2/repository/models/../load").http_status, 400);
}

TEST_F(AdminServiceTest, ABodyIsEmptyOrOneObject) {
  std::atomic<int> calls = 0;
  Serve([&](const Instance&) {
    ++calls;
    return Reply("{}");
  });
  for (const std::string body :
       {" ", "1", "null", "[]", "\"text\"", "{", "{}{}", "{\"a\": 1,}", "{'a': 1}", "{\"a\": NaN}",
        "{\"a\": \"\xff\"}", "\xef\xbb\xbf{"}) {
    const HttpAnswer answer = Ask(kLoad, body);
    EXPECT_EQ(answer.http_status, 400) << body;
    EXPECT_THAT(ErrorOf(answer), HasSubstr("the body must be empty or one JSON object: "));
  }
  EXPECT_EQ(calls, 0);
}

TEST_F(AdminServiceTest, NestingIsBounded) {
  Serve([](const Instance&) { return Reply("{}"); });
  const auto nested = [](size_t lists) {
    return StrCat("{\"a\": ", std::string(lists, '['), std::string(lists, ']'), "}");
  };
  EXPECT_EQ(Ask(kLoad, nested(30)).http_status, 200);
  EXPECT_EQ(Ask(kLoad, nested(32)).http_status, 400);
  EXPECT_EQ(Ask(kLoad, nested(30'000)).http_status, 400);
  EXPECT_EQ(Ask(kLoad, "{\"a\": " + std::string(60'000, '[')).http_status, 400);
}

TEST_F(AdminServiceTest, TheLongestBodyComesWhole) {
  size_t size = 0;
  Serve([&](const Instance& instance) {
    size = instance.at(2).Strings().at(0).size();
    return Reply("{}");
  });
  std::string body = "{\"a\": \"\"}";
  body.insert(body.size() - 2, AdminService::kMaxBodyBytes - body.size(), 'x');
  EXPECT_EQ(Ask(kLoad, body).http_status, 200);
  EXPECT_EQ(size, AdminService::kMaxBodyBytes);
}

TEST_F(AdminServiceTest, ErrorsOfActionsHaveTheirStatus) {
  StatusCode code = StatusCode::kOk;
  Serve([&](const Instance&) -> Result<Instance> { return Status(code, "no \"\xff\""); });
  for (const auto& [each, http_status] :
       std::vector<std::pair<StatusCode, int>>{{StatusCode::kInvalidArgument, 400},
                                               {StatusCode::kUnauthenticated, 401},
                                               {StatusCode::kPermissionDenied, 403},
                                               {StatusCode::kNotFound, 404},
                                               {StatusCode::kAlreadyExists, 409},
                                               {StatusCode::kFailedPrecondition, 409},
                                               {StatusCode::kResourceExhausted, 429},
                                               {StatusCode::kInternal, 500},
                                               {StatusCode::kUnimplemented, 501},
                                               {StatusCode::kUnavailable, 503},
                                               {StatusCode::kCancelled, 503},
                                               {StatusCode::kDeadlineExceeded, 504}}) {
    code = each;
    const HttpAnswer answer = Ask(kLoad);
    EXPECT_EQ(answer.http_status, http_status);
    EXPECT_EQ(ErrorOf(answer), "load of add: no \"?\"");
  }
}

TEST_F(AdminServiceTest, AnActionThatThrowsOrGivesNoStringIsAnErrorOfTheServer) {
  int call = 0;
  Serve([&](const Instance&) -> Result<Instance> {
    switch (call++) {
      case 0:
        throw std::runtime_error("broken");
      case 1:
        return Instance{};
      case 2:
        return Instance{Tensor::Of<float>({1}, {1.0F})};
      default:
        return Instance{Tensor::FromStrings(DataType::kString, Shape{0}, {})};
    }
  });
  for (const std::string text : {"load of add: operate threw: broken",
                                 "load of add: operate returned 0 values, 1 are declared",
                                 "operate returned float32[1], wanted a string",
                                 "operate returned string[0], wanted a string"}) {
    const HttpAnswer answer = Ask(kLoad);
    EXPECT_EQ(answer.http_status, 500);
    EXPECT_EQ(ErrorOf(answer), text);
  }
}

TEST_F(AdminServiceTest, ActionsAreDoneInTheirOrderAndOneThatStaysHoldsUpNone) {
  std::vector<std::string> seen;
  Mutex mutex;
  Serve([&](const Instance& instance) {
    const std::string servable(instance.at(1).Strings().at(0));
    if (servable == "stays") gate_.Pass();
    MutexLock lock(mutex);
    seen.push_back(servable);
    return Reply("{}");
  });
  std::future<HttpAnswer> first = Post("/v2/repository/models/stays/load");
  ASSERT_TRUE(gate_.WaitForArrivals(1));
  std::vector<std::future<HttpAnswer>> others;
  for (const char* name : {"a", "b", "c"}) {
    others.push_back(Post(StrCat("/v2/repository/models/", name, "/load")));
  }
  for (auto& each : others) EXPECT_EQ(each.get().http_status, 200);
  gate_.Open();
  EXPECT_EQ(first.get().http_status, 200);
  EXPECT_THAT(seen, ElementsAre("a", "b", "c", "stays"));
}

TEST_F(AdminServiceTest, WhatABrowserSendsForAPageIsRefused) {
  Serve([](const Instance&) { return Reply("{}"); });
  std::promise<HttpAnswer> answer;
  service_->Post(
      {.url = kLoad, .body = "", .content_type = content_type_, .origin = "http://evil.example"},
      [&](const HttpService::MakeAnswer& make) { answer.set_value(make()); });
  const HttpAnswer refused = answer.get_future().get();
  EXPECT_EQ(refused.http_status, 403);
  EXPECT_EQ(ErrorOf(refused), "a page of http://evil.example sends this");
}

TEST_F(AdminServiceTest, OneMoreThanMayWaitIsRefused) {
  Serve([&](const Instance&) {
    gate_.Pass();
    return Reply("{}");
  });
  std::vector<std::future<HttpAnswer>> all = FillUp();
  const HttpAnswer refused = Ask(kLoad);
  EXPECT_EQ(refused.http_status, 429);
  EXPECT_EQ(ErrorOf(refused), "load of add is refused, 16 actions wait already");
  EXPECT_EQ(Ask(kLoad, "[]").http_status, 400);  // It could never be done.
  EXPECT_EQ(service_->AnswerAtOnce("GET", "/v2/status").http_status, 200);
  gate_.Open();
  for (auto& each : all) EXPECT_EQ(each.get().http_status, 200);
  EXPECT_EQ(Ask(kLoad).http_status, 200);
}

TEST_F(AdminServiceTest, ClosingRefusesWhatWaitsAndAwaitsWhatRuns) {
  std::atomic<int> done = 0;
  Serve([&](const Instance&) {
    gate_.Pass();
    ++done;
    return Reply("{}");
  });
  std::vector<std::future<HttpAnswer>> all = FillUp();
  std::thread closer([&] { service_->Close(); });
  for (size_t i = AdminService::kWorkers; i < all.size(); ++i) {
    const HttpAnswer answer = all[i].get();  // While the first ones still run.
    EXPECT_EQ(answer.http_status, 503);
    EXPECT_EQ(ErrorOf(answer), "the server stops, it takes no more actions");
  }
  EXPECT_EQ(done, 0);
  gate_.Open();
  closer.join();
  EXPECT_EQ(done, AdminService::kWorkers);
  EXPECT_EQ(all[0].get().http_status, 200);
  EXPECT_EQ(Ask(kLoad).http_status, 503);
  service_->Close();
}

constexpr std::string_view kUrls[] = {"/v2/repository/models/add/load",
                                      "/v2/repository/models/my%20model/unload?x=1",
                                      "/v2/repository/models/%e6%a8%a1/switch",
                                      "/v2/repository/models/a.b-c_d/rollback#x",
                                      "/v2/status",
                                      "/v2/health/ready"};

constexpr std::string_view kBodies[] = {
    "", "{}", R"({"version": 2, "drain_seconds": 1.5e1})",
    R"({"parameters": {"config": "{\"a\": [1, true, null]}", "list": [[], {}, [-0.5]]}})"};

constexpr std::string_view kTokens[] = {"/",          "//",
                                        "..",         ".",
                                        "%",          "%2f",
                                        "%2e%2e",     "%00",
                                        "%ff",        "%c3%a9",
                                        "?",          "#",
                                        "/load",      "/v2/repository/models/",
                                        "/v2/status", "{",
                                        "}",          "[",
                                        "]",          "[[[[",
                                        ",",          ":",
                                        "\"",         "\\",
                                        "\\u0000",    "\\ud800",
                                        "\xff",       "null",
                                        "1e999",      "18446744073709551616",
                                        "{}"};

// What is handed to actions, and to nobody else.
Result<Instance> ExpectSound(const Instance& instance) {
  EXPECT_EQ(instance.size(), 3u);
  const std::string_view action = instance.at(0).Strings().at(0);
  const std::string_view servable = instance.at(1).Strings().at(0);
  const std::string body(instance.at(2).Strings().at(0));
  EXPECT_NE(std::ranges::find(kAdminActions, action), std::end(kAdminActions));
  EXPECT_EQ(servable.find_first_of(std::string_view("/\0\n", 3)), std::string_view::npos);
  EXPECT_TRUE(servable != "" && servable != "." && servable != "..") << servable;
  EXPECT_TRUE(simdjson::validate_utf8(servable.data(), servable.size()));
  simdjson::dom::parser parser;
  EXPECT_TRUE(parser.parse(body).is_object()) << body;
  return Reply("{}");
}

TEST_F(AdminServiceTest, DamagedRequestsAreDoneOrRefusedWithAText) {
  Serve(ExpectSound);
  Mutator mutator(kTokens);
  std::map<int, int> answers;
  for (int i = 0; i < DamagedInputs(20'000) && !HasFailure(); ++i) {
    const std::string url = mutator.Mutate(std::string(kUrls[mutator.Pick(std::size(kUrls))]));
    const std::string body = mutator.Mutate(std::string(kBodies[mutator.Pick(std::size(kBodies))]));
    SCOPED_TRACE(url + " " + body);
    const HttpAnswer answer = Ask(url, body);
    ++answers[answer.http_status];
    if (answer.http_status != 200) {
      EXPECT_NE(ErrorOf(answer), "");
    }
    const HttpAnswer read = service_->AnswerAtOnce("GET", url);
    if (read.http_status != 200 && read.http_status != 503) {
      EXPECT_NE(ErrorOf(read), "");
    }
  }
  for (const int http_status : {200, 400, 404, 405}) EXPECT_GT(answers[http_status], 100);
  EXPECT_EQ(answers.size(), 4u);
}

}  // namespace
}  // namespace pipeserve
