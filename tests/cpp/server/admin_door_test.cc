// The admin door of a server, as its clients see it.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "pipeserve/log.h"
#include "pipeserve/server.h"
#include "server/raw_client.h"
#include "server/test_servable.h"
#include "support/certificate.h"
#include "support/gate.h"
#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kLoad = "/v2/repository/models/add/load";

std::string Get(const std::string& url) { return "GET " + url + " HTTP/1.1\r\nHost: h\r\n\r\n"; }

Result<Instance> Reply(std::string_view json) {
  return Instance{Tensor::FromString(DataType::kString, json)};
}

class AdminDoorTest : public ::testing::Test {
 protected:
  AdminDoorTest() {
    auto server = Server::Create();
    EXPECT_OK(server);
    server_ = *std::move(server);
  }
  ~AdminDoorTest() override { gate_.Open(); }  // Before the server is stopped.

  Result<std::string> Open(Body action, ListenOptions options = {}) {
    if (options.address.empty()) options.address = "127.0.0.1:0";
    return server_->StartAdmin(options, MakeHostFunction("operate", std::move(action)));
  }

  Gate gate_;
  std::unique_ptr<Server> server_;
};

TEST_F(AdminDoorTest, AnswersHealthStatusAndActions) {
  const auto address =
      Open([](const Instance& instance) { return Reply(instance[2].Strings()[0]); });
  ASSERT_OK(address);
  RawClient client(*address);
  EXPECT_THAT(client.Ask(Get("/v2/health/live")), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(client.Ask(Get("/v2/health/ready")), StartsWith("HTTP/1.1 503 "));
  const std::string status = client.Ask(Get("/v2/status"));
  EXPECT_THAT(status, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(status, HasSubstr("Content-Type: application/json\r\n"));
  EXPECT_EQ(BodyOf(client.Ask(PostJson(kLoad, R"({"version": 2})"))), R"({"version": 2})");
  EXPECT_EQ(BodyOf(client.Ask("POST " + kLoad +
                              " HTTP/1.1\r\nHost: h\r\nContent-Type: application/json\r\n\r\n")),
            "{}");
}

TEST_F(AdminDoorTest, ErrorsHaveRealStatusCodes) {
  const auto address = Open([](const Instance&) -> Result<Instance> { return NotFound("no add"); });
  ASSERT_OK(address);
  for (const auto& [request, http_status, fragment] :
       std::vector<std::tuple<std::string, std::string, std::string>>{
           {PostJson(kLoad, ""), "404", "load of add: no add"},
           {Get("/model/add:predict"), "404", "there is no '/model/add:predict'"},
           {PostJson(kLoad, "{"), "400", "the body must be empty or one JSON object"},
           {Get(kLoad), "405", "has the method POST, not GET"},
           {PostJson(kLoad, std::string((64 << 10) + 1, ' ')), "413", "is bigger than 65536"},
           {"POST / HTTP/9.9\r\n\r\n", "400", "bad HTTP: "}}) {
    const std::string response = RawClient(*address).Ask(request);
    EXPECT_THAT(response, StartsWith("HTTP/1.1 " + http_status + " ")) << request.substr(0, 80);
    EXPECT_THAT(BodyOf(response), StartsWith("{\"error\": \""));
    EXPECT_THAT(BodyOf(response), HasSubstr(fragment));
  }
  EXPECT_THAT(RawClient(*address).Ask(Get(kLoad)), HasSubstr("\r\nAllow: POST\r\n"));
}

TEST_F(AdminDoorTest, StatusIsAnsweredWhileActionsRunAndWait) {
  const auto address = Open([this](const Instance&) {
    gate_.Pass();
    return Reply("{}");
  });
  ASSERT_OK(address);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 5; ++i) {  // More than the door has threads.
    clients.push_back(std::make_unique<RawClient>(*address));
    ASSERT_TRUE(clients.back()->Send(PostJson(kLoad, "")));
  }
  ASSERT_TRUE(gate_.WaitForArrivals(1));
  EXPECT_THAT(RawClient(*address).Ask(Get("/v2/status")), StartsWith("HTTP/1.1 200 "));
  gate_.Open();
  for (const auto& client : clients) EXPECT_EQ(BodyOf(client->Receive()), "{}");
}

TEST_F(AdminDoorTest, AClientThatLeavesStopsNoAction) {
  std::atomic<int> done = 0;
  const auto address = Open([&](const Instance&) {
    gate_.Pass();
    ++done;
    return Reply("{}");
  });
  ASSERT_OK(address);
  {
    RawClient client(*address);
    ASSERT_TRUE(client.Send(PostJson(kLoad, "")));
    ASSERT_TRUE(gate_.WaitForArrivals(1));
  }
  RawClient next(*address);
  ASSERT_TRUE(next.Send(PostJson(kLoad, "")));
  gate_.Open();
  EXPECT_EQ(BodyOf(next.Receive()), "{}");
  server_->Stop();  // Awaits the other one.
  EXPECT_EQ(done, 2);
}

TEST_F(AdminDoorTest, StoppingEndsTheWaitOfAnActionWhichMayStillAskForADoor) {
  DistributedServableOptions nobody_comes;
  nobody_comes.address = "127.0.0.1:0";
  ASSERT_OK(server_->StartDistributed(TestSpec("add", 1), nobody_comes));
  Status door;
  const auto address = Open([&](const Instance&) -> Result<Instance> {
    gate_.Pass();
    const Status ready = server_->WaitReady("add", 1, std::chrono::seconds(100));
    ListenOptions options;
    options.address = "127.0.0.1:0";
    door = server_->StartGrpc(options).status();
    return ready;
  });
  ASSERT_OK(address);
  RawClient client(*address);
  ASSERT_TRUE(client.Send(PostJson(kLoad, "")));
  ASSERT_TRUE(gate_.WaitForArrivals(1));
  gate_.Open();
  server_->Stop();
  EXPECT_THAT(client.Receive(), StartsWith("HTTP/1.1 503 "));
  EXPECT_ERROR(door, kFailedPrecondition, "the server has been stopped");
  EXPECT_FALSE(RawClient(*address).connected());
}

TEST_F(AdminDoorTest, OpensOnceAndSaysWhatItIs) {
  EXPECT_ERROR(Open(Echo, {.address = "localhost"}), kInvalidArgument,
               "The format of the admin address 'localhost' is illegal");
  EXPECT_ERROR(Open(Echo, {.address = "unix:/tmp/socket"}), kInvalidArgument,
               "admin server does not support binding to unix domain socket");
  EXPECT_ERROR(Open(Echo, {.max_connections = 0}), kInvalidArgument, "max_connections is 0");
  EXPECT_ERROR(server_->StartAdmin({.address = "127.0.0.1:0"}, nullptr), kInvalidArgument,
               "needs a function of actions");
  ASSERT_OK(Open(Echo));
  EXPECT_ERROR(Open(Echo), kAlreadyExists, "admin server is already running");
  server_->Stop();
}

// Warnings, while it lives.
class Warnings {
 public:
  Warnings() {
    SetLogSink([this](const LogEvent& event) {
      MutexLock lock(mutex_);
      if (event.level == LogLevel::kWarning) text_ += FormatLogEvent(event);
    });
  }
  ~Warnings() { SetLogSink(nullptr); }
  std::string Take() {
    MutexLock lock(mutex_);
    return std::exchange(text_, "");
  }

 private:
  Mutex mutex_;
  std::string text_ GUARDED_BY(mutex_);
};

TEST_F(AdminDoorTest, WarnsWhenEverybodyMayOrder) {
  const TestFolder dir;
  MakeCertificate(dir, "operator");
  SslOptions ssl{.certificate_file = dir.File("operator.crt"),
                 .private_key_file = dir.File("operator.key"),
                 .custom_ca_file = dir.File("operator.crt")};
  Warnings warnings;
  const auto warned = [&](const std::string& address, const std::optional<SslOptions>& tls) {
    const auto server = Server::Create();
    EXPECT_OK(
        (*server)->StartAdmin({.address = address, .ssl = tls}, MakeHostFunction("operate", Echo)));
    return warnings.Take();
  };
  const std::string warning = "whoever reaches the admin address can load and unload servables";
  EXPECT_EQ(warned("127.0.0.1:0", std::nullopt), "");
  EXPECT_THAT(warned("0.0.0.0:0", std::nullopt), HasSubstr(warning));
  EXPECT_THAT(warned("0.0.0.0:0", ssl), HasSubstr(warning));
  ssl.verify_client = true;
  EXPECT_EQ(warned("0.0.0.0:0", ssl), "");
}

}  // namespace
}  // namespace pipeserve
