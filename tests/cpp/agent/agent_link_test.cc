// Hub and agents over loopback, in one process.
#include <gtest/gtest.h>

#include <future>
#include <optional>
#include <thread>

#include "agent/agent_hub.h"
#include "pipeserve/agent.h"
#include "support/matchers.h"
#include "support/test_agent.h"

namespace pipeserve {
namespace {

const Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }

AgentHubOptions Options(const std::string& address = "127.0.0.1:0") {
  AgentHubOptions options;
  options.servable_name = "gather";
  options.rank_table.ranks = {{"127.0.0.1", 0}, {"127.0.0.1", 1}};
  options.rank_table.content = "{\"verbatim\": true}";
  options.address = address;
  return options;
}

Status RunOnce(Executor& executor) {
  const Tensor input = Tensor::Of<float>({2}, {10, 20});
  std::vector<Tensor> outputs;
  PIPESERVE_RETURN_IF_ERROR(executor.Run(0, std::span(&input, 1), {.deadline = Soon()}, &outputs));
  EXPECT_EQ(outputs.size(), 1u);
  const float* y = outputs.at(0).data_as<float>();
  EXPECT_THAT(std::vector<float>(y, y + 4), ::testing::ElementsAre(10, 20, 11, 21));
  return OkStatus();
}

void AwaitOneAgent(AgentHub& hub) {
  while (hub.WaitReady(Deadline::After({})).status().message().find("count: 1") ==
         std::string::npos) {
    std::this_thread::yield();
  }
}

TEST(AgentLinkTest, GroupComputesAndComesBackAfterARankWasLost) {
  const auto hub = *AgentHub::Create(Options());
  GatherAgent zero(hub->address(), 0);
  std::optional<GatherAgent> one(std::in_place, hub->address(), 1);
  const Result<std::shared_ptr<Executor>> executor = hub->WaitReady(Soon());
  ASSERT_OK(executor);
  for (int i = 0; i < 20; ++i) ASSERT_OK(RunOnce(**executor));

  one->Kill();
  while (hub->ready()) std::this_thread::yield();
  auto call = std::async(std::launch::async, [&] { return RunOnce(**executor); });
  EXPECT_TRUE(hub->available());

  one.emplace(hub->address(), 1);
  EXPECT_OK(call.get());
  EXPECT_TRUE(hub->ready());
}

TEST(AgentLinkTest, WithoutFailoverCallsFailWhileARankIsLost) {
  AgentHubOptions options = Options();
  options.failover_timeout = std::chrono::milliseconds(0);
  const auto hub = *AgentHub::Create(options);
  GatherAgent zero(hub->address(), 0), one(hub->address(), 1);
  const Result<std::shared_ptr<Executor>> executor = hub->WaitReady(Soon());
  ASSERT_OK(executor);
  one.Kill();
  while (hub->ready()) std::this_thread::yield();
  EXPECT_FALSE(hub->available());
  EXPECT_ERROR(RunOnce(**executor), kUnavailable, "Error happened on get result of rank 1");
}

TEST(AgentLinkTest, AgentsExitWhenTheServableStops) {
  const auto hub = *AgentHub::Create(Options());
  GatherAgent zero(hub->address(), 0), one(hub->address(), 1);
  ASSERT_OK(hub->WaitReady(Soon()));
  hub->Stop();
  EXPECT_OK(zero.Join());
  EXPECT_OK(one.Join());
}

TEST(AgentLinkTest, AgentThatDoesNotFitIsToldAndTheRightOneIsStillTaken) {
  const auto hub = *AgentHub::Create(Options());
  GatherAgent zero(hub->address(), 0);
  AwaitOneAgent(*hub);
  EXPECT_ERROR(GatherAgent(hub->address(), 0).Join(), kAlreadyExists, "rank 0");
  EXPECT_ERROR(GatherAgent(hub->address(), 1, 3).Join(), kFailedPrecondition,
               "Rank 1 input infos not match rank 0");
  EXPECT_ERROR(GatherAgent(hub->address(), 7).Join(), kInvalidArgument, "there is no rank 7");
  GatherAgent one(hub->address(), 1);
  ASSERT_OK(hub->WaitReady(Soon()));
}

TEST(AgentLinkTest, AgentsFindARestartedServer) {
  auto hub = *AgentHub::Create(Options());
  const std::string address = hub->address();
  GatherAgent zero(address, 0);
  AwaitOneAgent(*hub);
  hub.reset();
  EXPECT_OK(zero.Join());  // A server that stops in order ends its agents.

  GatherAgent early(address, 0), one(address, 1);  // Before there is a server.
  hub = *AgentHub::Create(Options(address));
  const Result<std::shared_ptr<Executor>> executor = hub->WaitReady(Soon());
  ASSERT_OK(executor);
  EXPECT_OK(RunOnce(**executor));
}

TEST(AgentLinkTest, LauncherGetsTheConfigAndReportsFailure) {
  const auto hub = *AgentHub::Create(Options());
  const Result<AgentGroupConfig> config =
      AcquireAgentConfig(hub->address(), std::chrono::seconds(10));
  ASSERT_OK(config);
  EXPECT_EQ(config->servable_name, "gather");
  EXPECT_EQ(config->rank_size, 2);
  EXPECT_EQ(config->rank_table_json, "{\"verbatim\": true}");
  ASSERT_EQ(config->ranks.size(), 2u);
  EXPECT_EQ(config->ranks[1].device_id, 1);

  EXPECT_OK(ReportAgentsFailed(hub->address(), "no such model"));
  EXPECT_ERROR(hub->WaitReady(Soon()), kFailedPrecondition, "no such model");
}

TEST(AgentLinkTest, NobodyListens) {
  std::string address;
  {
    const auto hub = *AgentHub::Create(Options());
    address = hub->address();
    EXPECT_ERROR(AgentHub::Create(Options(address)), kUnavailable, "cannot be bound");
  }
  EXPECT_ERROR(AcquireAgentConfig(address, std::chrono::milliseconds(200)), kDeadlineExceeded,
               "Failed to get Agents configs from Worker, worker is not available");
}

}  // namespace
}  // namespace pipeserve
