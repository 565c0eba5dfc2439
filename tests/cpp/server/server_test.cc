#include "pipeserve/server.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <thread>

#include "base/str_cat.h"
#include "pipeserve/client.h"
#include "server/test_servable.h"
#include "support/fixtures.h"
#include "support/matchers.h"
#include "support/test_agent.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::unique_ptr<Server> MakeServer() {
  auto server = Server::Create();
  EXPECT_OK(server);
  return *std::move(server);
}

ListenOptions AnyPort() {
  ListenOptions options;
  options.address = "127.0.0.1:0";
  return options;
}

Result<InferReply> Ask(const std::string& address, const std::string& servable,
                       const NamedInstance& instance, const std::string& method = "predict") {
  PIPESERVE_ASSIGN_OR_RETURN(
      const auto client,
      Client::Create(
          {.address = address, .servable = servable, .method = method, .ssl = std::nullopt}));
  return client->Infer(std::span(&instance, 1));
}

TEST(ServerTest, OptionsAreChecked) {
  ServerOptions options;
  options.max_inflight = 0;
  EXPECT_ERROR(Server::Create(options), kInvalidArgument, "max_inflight is 0");
  options = {};
  options.max_enqueued_requests = 0;
  EXPECT_ERROR(Server::Create(options), kInvalidArgument, "max_enqueued_requests is 0");
  options = {};
  options.max_enqueued_bytes = 0;
  EXPECT_ERROR(Server::Create(options), kInvalidArgument, "max_enqueued_bytes is 0");
  for (const auto wrong : {std::chrono::milliseconds(-1), std::chrono::milliseconds::max()}) {
    options = {};
    options.max_request_time = wrong;
    EXPECT_ERROR(Server::Create(options), kInvalidArgument, "max_request_time is ");
  }
  const auto server = MakeServer();
  ListenOptions listen = AnyPort();
  listen.max_message_bytes = (size_t{512} << 20) + 1;
  EXPECT_ERROR(server->StartGrpc(listen), kInvalidArgument, "max_message_bytes");
  EXPECT_ERROR(server->StartRest(listen), kInvalidArgument, "max_message_bytes");
  listen = {.address = "127.0.0.1:0", .max_connections = 0};
  EXPECT_ERROR(server->StartRest(listen), kInvalidArgument, "max_connections is 0");
}

TEST(ServerTest, EachDoorOpensOnce) {
  const auto server = MakeServer();
  EXPECT_OK(server->StartGrpc(AnyPort()));
  EXPECT_OK(server->StartRest(AnyPort()));
  EXPECT_EQ(server->StartGrpc(AnyPort()).status(),
            AlreadyExists("Serving Error: Serving gRPC server is already running"));
  EXPECT_EQ(server->StartRest(AnyPort()).status(),
            AlreadyExists("Serving Error: RESTful server is already running"));
}

TEST(ServerTest, StopIsSafeFromManyThreadsAndFinal) {
  const auto server = MakeServer();
  ASSERT_OK(server->StartGrpc(AnyPort()));
  ASSERT_OK(server->StartRest(AnyPort()));
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) threads.emplace_back([&] { server->Stop(); });
  threads.clear();
  server->Stop();
  EXPECT_ERROR(server->StartGrpc(AnyPort()), kAlreadyExists, "already running");
  EXPECT_EQ(MakeServer()->WaitReady("add", 1, std::chrono::milliseconds(1)).code(),
            StatusCode::kNotFound);
}

TEST(ServerTest, AServableThatCannotBeLoadedLeavesItsNameFree) {
  const auto server = MakeServer();
  LocalServableOptions options;
  options.model_files = {"/nonexistent/model.mindir"};
  for (int i = 0; i < 2; ++i) {
    EXPECT_ERROR(server->LoadLocal(TestSpec("add", 1), options), kNotFound, "model.mindir");
  }
  options.decryption = DecryptionOptions{.key = "0123456789abcdef", .mode = "ROT13"};
  EXPECT_ERROR(server->LoadLocal(TestSpec("add", 1), options), kInvalidArgument, "ROT13");
}

TEST(ServerTest, EachServableHasItsOwnLimitOfRequestsAtOnce) {
  Gate one_at_once, as_the_server_says;
  ServerOptions options;
  options.max_inflight = 3;
  auto server = Server::Create(options);
  ASSERT_OK(server);
  const auto load = [&](const std::string& name, Gate& gate, int max_inflight) {
    ServableSpec spec = TestSpec(name, 1, [&gate](const Instance& instance) -> Result<Instance> {
      gate.Pass();
      return instance;
    });
    spec.methods.clear();
    LocalServableOptions local;
    local.max_inflight = max_inflight;
    return (*server)->LoadLocal(spec, local);
  };
  EXPECT_ERROR(load("wrong", one_at_once, -1), kInvalidArgument, "max_inflight is -1");
  EXPECT_ERROR(load("wrong", one_at_once, 1025), kInvalidArgument, "max_inflight is 1025");
  ASSERT_OK(load("one", one_at_once, 1));
  ASSERT_OK(load("three", as_the_server_says, 0));
  const auto door = (*server)->StartGrpc(AnyPort());
  ASSERT_OK(door);
  std::vector<std::jthread> clients;
  for (const std::string name : {"one", "three"}) {
    for (int i = 0; i < 5; ++i) {
      clients.emplace_back(
          [&, name] { EXPECT_OK(Ask(*door, name, {{"x", Tensor::Of<float>({1}, {1})}})); });
    }
  }
  EXPECT_TRUE(as_the_server_says.WaitForArrivals(3));
  EXPECT_TRUE(one_at_once.WaitForArrivals(1));
  EXPECT_FALSE(one_at_once.WaitForArrivals(2, std::chrono::milliseconds(50)));
  EXPECT_FALSE(as_the_server_says.WaitForArrivals(4, std::chrono::milliseconds(50)));
  one_at_once.Open();
  as_the_server_says.Open();
}

TEST(ServerTest, InfersWithoutADoor) {
  const auto server = MakeServer();
  ServableSpec spec = TestSpec("echo", 2);
  spec.methods.clear();
  ASSERT_OK(server->LoadLocal(spec, {}));
  const Tensor a = Tensor::Of<float>({2}, {1, 2}), b = Tensor::Of<float>({1}, {3});
  const Result<Instance> outputs = server->Infer("echo", "pair", {a, b});
  ASSERT_OK(outputs);
  ASSERT_THAT(*outputs, SizeIs(2));
  EXPECT_EQ((*outputs)[0].data(), a.data());  // Not a byte is copied.
  EXPECT_OK(server->Infer("echo", "pair", {a, b}, {.version = 2}));

  EXPECT_ERROR(server->Infer("other", "pair", {a, b}), kNotFound, "servable(other)");
  EXPECT_ERROR(server->Infer("echo", "pair", {a, b}, {.version = 1}), kNotFound, "version(1)");
  EXPECT_ERROR(server->Infer("echo", "trio", {a, b}), kNotFound, "method(trio)");
  EXPECT_ERROR(server->Infer("echo", "pair", {a}), kInvalidArgument,
               "Input count 1 does not equal to input count 2");
  EXPECT_ERROR(server->Infer("echo", "pair", {a, b}, {.timeout = std::chrono::seconds(-1)}),
               kInvalidArgument, "timeout is -1000000000 ns");
  server->Stop();
  EXPECT_ERROR(server->Infer("echo", "pair", {a, b}), kUnavailable, "not available");
}

TEST(ServerTest, WhatInfersHereHasTheDeadlineAndTheLimitsOfARequest) {
  Gate gate;
  ServerOptions options;
  options.max_enqueued_requests = 1;
  auto server = Server::Create(options);
  ASSERT_OK(server);
  ServableSpec spec = TestSpec("echo", 1, [&](const Instance& instance) -> Result<Instance> {
    gate.Pass();
    return instance;
  });
  spec.methods.clear();
  ASSERT_OK((*server)->LoadLocal(spec, {}));
  const Instance inputs = {Tensor::Of<float>({1}, {1})};
  const auto infer = [&](std::chrono::nanoseconds timeout) {
    return (*server)->Infer("echo", "predict", inputs, {.timeout = timeout});
  };
  std::thread caller([&] { EXPECT_OK(infer({})); });
  ASSERT_TRUE(gate.WaitForArrivals(1));
  EXPECT_ERROR(infer({}), kResourceExhausted, "enqueued requests count exceeds the limit 1");
  gate.Open();
  caller.join();
  EXPECT_ERROR(infer(std::chrono::nanoseconds(1)), kDeadlineExceeded, "deadline passed");
  EXPECT_OK(infer(std::chrono::hours(1)));
}

TEST(ServerTest, UnknownServableCannotRunAMethod) {
  EXPECT_ERROR(MakeServer()->SubmitMethod("add", 1, "predict", {}), kUnavailable,
               "Run worker for inference failed, worker has not been started");
  EXPECT_ERROR(MakeServer()->RunMethod("add", 1, "predict", {}), kUnavailable,
               "Run worker for inference failed, worker has not been started");
  EXPECT_ERROR(MakeServer()->RunOne("add", 1, "predict", {}), kUnavailable,
               "Run worker for inference failed, worker has not been started");
}

class LocalServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_SHARED_FILES();
    model_ = SharedFile("mindir/v1.3/matmul_0.mindir");
  }

  std::filesystem::path model_;
};

TEST_F(LocalServerTest, APipelineRunsItsMethodOnBothDoors) {
  const auto server = MakeServer();
  Server* runner = server.get();
  const ServableSpec spec = TestSpec("matmul", 1, [runner](const Instance& instance) {
    return runner->RunOne("matmul", 1, "identity", instance);
  });
  LocalServableOptions options;
  options.model_files = {model_.string()};
  ASSERT_OK(server->LoadLocal(spec, options));
  EXPECT_ERROR(server->LoadLocal(spec, options), kAlreadyExists, "matmul version 1");
  EXPECT_OK(server->WaitReady("matmul", 1, std::chrono::milliseconds(1)));
  const Result<std::string> address = server->StartGrpc(AnyPort());
  ASSERT_OK(address);
  Tensor x(DataType::kFloat32, Shape{128, 96});
  std::fill_n(x.mutable_data_as<float>(), 128 * 96, 0.5f);
  const Result<InferReply> reply = Ask(*address, "matmul", {{"x", x}});
  ASSERT_OK(reply);
  ASSERT_THAT(reply->errors, IsEmpty());
  ASSERT_THAT(reply->instances, SizeIs(1));
  const Result<std::vector<Result<Instance>>> direct =
      server->RunMethod("matmul", 1, "identity", {{x}});
  ASSERT_OK(direct);
  ASSERT_OK((*direct)[0]);
  const Tensor& wanted = (*(*direct)[0])[0];
  EXPECT_ERROR(server->RunOne("matmul", 1, "identity", {}), kInvalidArgument, "Input count 0");
  const Tensor& seen = reply->instances[0][0].second;
  EXPECT_EQ(seen.ToString(), wanted.ToString());
  ASSERT_EQ(seen.byte_size(), wanted.byte_size());
  EXPECT_EQ(std::memcmp(seen.data(), wanted.data(), seen.byte_size()), 0);
}

// Rank 0 and so on, all on this machine.
DistributedServableOptions Ranks(const TestFolder& dir, int count) {
  std::string devices;
  for (int rank = 0; rank < count; ++rank) {
    devices += StrCat(rank == 0 ? "" : ", ", R"({"device_id": ")", rank,
                      R"(", "device_ip": "192.1.1.1", "rank_id": ")", rank, R"("})");
  }
  DistributedServableOptions options;
  options.rank_size = count;
  options.rank_table_file = dir.File("rank_table.json");
  options.address = "127.0.0.1:0";
  std::ofstream(options.rank_table_file)
      << R"({"version": "1.0", "server_count": "1", "status": "completed", "server_list": [
             {"server_id": "127.0.0.1", "host_nic_ip": "reserve", "device": [)"
      << devices << "]}]}";
  return options;
}

// What WaitReady() says at once.
Status Ready(Server& server, const std::string& servable) {
  return server.WaitReady(servable, 1, std::chrono::milliseconds(0));
}

Status Waiting(int present, int wanted) {
  return DeadlineExceeded(StrCat("Failed to wait for ready of all agents, current agents count: ",
                                 present, ", rank size: ", wanted));
}

TEST(ServerTest, ADistributedServableWithoutAgentsIsUnavailable) {
  const TestFolder dir;
  const auto server = MakeServer();
  const DistributedServableOptions options = Ranks(dir, 1);
  ASSERT_OK(server->StartDistributed(TestSpec("matmul", 1), options));
  EXPECT_ERROR(server->StartDistributed(TestSpec("matmul", 1), options), kAlreadyExists,
               "matmul version 1");
  EXPECT_EQ(Ready(*server, "matmul"), Waiting(0, 1));
  EXPECT_EQ(server->WaitReady("matmul", 1, std::chrono::milliseconds(300)), Waiting(0, 1));
  const Result<std::string> address = server->StartGrpc(AnyPort());
  ASSERT_OK(address);
  const Result<InferReply> reply = Ask(*address, "matmul", {{"x", Tensor::Of<float>({1}, {1})}});
  ASSERT_OK(reply);
  ASSERT_THAT(reply->errors, SizeIs(1));
  EXPECT_EQ(reply->errors[0].message,
            "Request servable(matmul) method(predict) , servable is not available");
  server->Stop();
  EXPECT_EQ(Ready(*server, "matmul").code(), StatusCode::kCancelled);
}

TEST(ServerTest, WithoutARankTableThereIsOneRankOnThisHost) {
  const auto server = MakeServer();
  DistributedServableOptions options;
  options.address = "127.0.0.1:0";
  ASSERT_OK(server->StartDistributed(TestSpec("matmul", 1), options));
  EXPECT_EQ(Ready(*server, "matmul"), Waiting(0, 1));
  options.rank_size = 2;
  EXPECT_EQ(server->StartDistributed(TestSpec("matmul", 2), options).status().code(),
            StatusCode::kFailedPrecondition);
}

// Clients call the method of the two ranks' graph.
ServableSpec GatherSpec() {
  ServableSpec spec = TestSpec("gather", 1);
  spec.pipelines.clear();
  return spec;
}

// The outputs of the group for {10, 20}, or the error that came instead.
Result<std::vector<float>> Gather(const std::string& address) {
  const NamedInstance instance = {{"x", Tensor::Of<float>({2}, {10, 20})}};
  PIPESERVE_ASSIGN_OR_RETURN(const InferReply reply, Ask(address, "gather", instance, "identity"));
  if (!reply.errors.empty()) return Internal(reply.errors[0].message);
  const Tensor& y = reply.instances.at(0).at(0).second;
  const float* values = y.data_as<float>();
  return std::vector<float>(values, values + y.shape().num_elements());
}

TEST(ServerTest, ARequestOutlivesTheLossOfAnAgent) {
  constexpr std::chrono::seconds kLimit{20};
  const TestFolder dir;
  const auto server = MakeServer();
  const Result<std::string> hub = server->StartDistributed(GatherSpec(), Ranks(dir, 2));
  ASSERT_OK(hub);
  const Result<std::string> address = server->StartGrpc(AnyPort());
  ASSERT_OK(address);
  GatherAgent zero(*hub, 0);
  std::optional<GatherAgent> one(std::in_place, *hub, 1);
  ASSERT_OK(server->WaitReady("gather", 1, kLimit));
  one->Kill();
  while (Ready(*server, "gather").ok()) std::this_thread::yield();
  auto values = std::async(std::launch::async, [&] { return Gather(*address); });
  one.emplace(*hub, 1);
  const Result<std::vector<float>> answered = values.get();
  ASSERT_OK(answered);
  EXPECT_THAT(*answered, ElementsAre(10, 20, 11, 21));
  EXPECT_OK(server->WaitReady("gather", 1, kLimit));
}

TEST(ServerTest, AServableThatStopsWithItsAgentsTellsOnceAndRefusesRequests) {
  constexpr std::chrono::seconds kLimit{20};
  const TestFolder dir;
  const auto server = MakeServer();
  std::promise<void> lost;
  DistributedServableOptions options = Ranks(dir, 2);
  options.on_agent_lost = [&] { lost.set_value(); };
  const Result<std::string> hub = server->StartDistributed(GatherSpec(), options);
  ASSERT_OK(hub);
  const Result<std::string> address = server->StartGrpc(AnyPort());
  ASSERT_OK(address);
  GatherAgent zero(*hub, 0), one(*hub, 1);
  ASSERT_OK(server->WaitReady("gather", 1, kLimit));
  one.Kill();
  ASSERT_EQ(lost.get_future().wait_for(kLimit), std::future_status::ready);
  EXPECT_OK(zero.Join());  // It has been told to exit.
  EXPECT_EQ(Gather(*address).status().message(),
            "Request servable(gather) method(identity) , servable is not available");
}

TEST(ServerTest, AServableThatStopsWithItsAgentsDoesSoThoughAnotherTakesTheirPlaceAtOnce) {
  constexpr std::chrono::seconds kLimit{20};
  const TestFolder dir;
  const auto server = MakeServer();
  std::promise<void> lost;
  DistributedServableOptions options = Ranks(dir, 1);
  options.on_agent_lost = [&] { lost.set_value(); };
  ServableSpec spec = GatherSpec();
  const Result<std::string> hub = server->StartDistributed(spec, options);
  ASSERT_OK(hub);
  std::optional<GatherAgent> agent(std::in_place, *hub, 0);
  ASSERT_OK(server->WaitReady("gather", 1, kLimit));
  agent->Kill();
  agent.emplace(*hub, 0);
  ASSERT_EQ(lost.get_future().wait_for(kLimit), std::future_status::ready);
  // The other one has been told to exit, or was refused: before the server saw the first one go, or
  // after it had stopped.
  EXPECT_THAT(agent->Join().code(), testing::AnyOf(StatusCode::kOk, StatusCode::kAlreadyExists,
                                                   StatusCode::kUnavailable));
}

TEST(ServerTest, AServableThatStopsWithItsAgentsDoesSoThoughTheyAreLostInItsWarmUp) {
  constexpr std::chrono::seconds kLimit{20};
  const TestFolder dir;
  const auto server = MakeServer();
  std::promise<void> lost;
  DistributedServableOptions options = Ranks(dir, 1);
  options.on_agent_lost = [&] { lost.set_value(); };
  std::optional<GatherAgent> agent;
  ServableSpec spec = GatherSpec();
  Gate agent_is_there;
  spec.warm_up = MakeHostFunction("warm_up", [&](const Instance& instance) -> Result<Instance> {
    agent_is_there.Pass();
    agent->Kill();
    return instance;
  });
  const Result<std::string> hub = server->StartDistributed(spec, options);
  ASSERT_OK(hub);
  agent.emplace(*hub, 0);
  agent_is_there.Open();
  ASSERT_EQ(lost.get_future().wait_for(kLimit), std::future_status::ready);
}

TEST(ServerTest, TimesOfADistributedServableAreChecked) {
  const TestFolder dir;
  const auto server = MakeServer();
  DistributedServableOptions options = Ranks(dir, 2);
  options.dead_after = options.heartbeat;
  EXPECT_ERROR(server->StartDistributed(GatherSpec(), options), kInvalidArgument,
               "dead_after is 1000 ms, wanted more than the heartbeat of 1000 ms");
  options = Ranks(dir, 2);
  options.heartbeat = std::chrono::milliseconds(0);
  EXPECT_ERROR(server->StartDistributed(GatherSpec(), options), kInvalidArgument,
               "heartbeat is 0 ms, wanted at least 10 ms");
  options = Ranks(dir, 2);
  options.failover_timeout = std::chrono::milliseconds(-1);
  EXPECT_ERROR(server->StartDistributed(GatherSpec(), options), kInvalidArgument,
               "failover_timeout is -1 ms, wanted 0 to a day");
}

TEST(ServerTest, ADistributedServableWithoutFailoverLeavesWithItsGroupAndComesBack) {
  constexpr std::chrono::seconds kLimit{20};
  const TestFolder dir;
  const auto server = MakeServer();
  DistributedServableOptions options = Ranks(dir, 2);
  options.failover_timeout = std::chrono::milliseconds(0);
  const Result<std::string> hub = server->StartDistributed(GatherSpec(), options);
  ASSERT_OK(hub);
  const Result<std::string> address = server->StartGrpc(AnyPort());
  ASSERT_OK(address);
  GatherAgent zero(*hub, 0);
  while (Ready(*server, "gather") == Waiting(0, 2)) std::this_thread::yield();
  EXPECT_EQ(Ready(*server, "gather"), Waiting(1, 2));
  std::optional<GatherAgent> one(std::in_place, *hub, 1);
  ASSERT_OK(server->WaitReady("gather", 1, kLimit));
  const Result<std::vector<float>> before = Gather(*address);
  ASSERT_OK(before);
  EXPECT_THAT(*before, ElementsAre(10, 20, 11, 21));

  one->Kill();
  while (Ready(*server, "gather").ok()) std::this_thread::yield();
  EXPECT_ERROR(Ready(*server, "gather"), kDeadlineExceeded, ", rank size: 2");
  EXPECT_EQ(Gather(*address).status().message(),
            "Request servable(gather) method(identity) , servable is not available");

  one.emplace(*hub, 1);
  ASSERT_OK(server->WaitReady("gather", 1, kLimit));
  EXPECT_OK(Gather(*address));
  server->Stop();
  EXPECT_OK(zero.Join());
  EXPECT_OK(one->Join());
}

}  // namespace
}  // namespace pipeserve
