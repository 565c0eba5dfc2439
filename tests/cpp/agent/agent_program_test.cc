// pipeserve-agent as processes, one per rank, against a hub in this process.
#include <array>
#include <future>
#include <memory>

#include "agent/agent_hub.h"
#include "agent/agent_process.h"
#include "base/str_cat.h"
#include "pipeserve/graph_builder.h"
#include "support/encrypt.h"
#include "support/fixtures.h"
#include "support/graphs.h"
#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

using testing::HasSubstr;

constexpr int kRanks = 3;
constexpr int64_t kRows = 2, kWidth = 6;

Deadline Soon() { return Deadline::After(std::chrono::seconds(30)); }

// weight[i][j] = i + 2 j.
Tensor Weight() {
  Tensor weight(DataType::kFloat32, {kWidth, kWidth});
  for (int64_t i = 0; i < kWidth * kWidth; ++i) {
    weight.mutable_data_as<float>()[i] = static_cast<float>(i / kWidth + 2 * (i % kWidth));
  }
  return weight;
}

// Writes y = -(x * weight) for `rows` rows of x, cut over the ranks so that they have to gather.
void SaveModel(const std::string& name, int64_t rows, const TestFolder& dir) {
  GraphBuilder builder(name);
  const auto x = *builder.Input("x", DataType::kFloat32, {rows, kWidth});
  const auto weight = *builder.Parameter("weight", Weight());
  const auto product = builder.MatMul(x, weight, false, false, {{1, 1}, {1, kRanks}});
  ASSERT_OK(product);
  const auto y = builder.Neg(*product);
  ASSERT_OK(y);
  ASSERT_OK(builder.Output(*y));
  ASSERT_OK(builder.SaveSharded(dir.path(), kRanks));
}

class AgentProgramTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SaveModel("net", kRows, dir_);
    ASSERT_FALSE(HasFatalFailure());
    OpenHub(std::chrono::seconds(20));
  }

  void OpenHub(std::chrono::milliseconds call_timeout) {
    AgentHubOptions options;
    options.servable_name = "net";
    options.rank_table.ranks.resize(kRanks, {"127.0.0.1", 0});
    options.address = "127.0.0.1:0";
    options.call_timeout = call_timeout;
    options.failover_timeout = std::chrono::milliseconds(0);  // A call that loses its group fails.
    auto hub = AgentHub::Create(options);
    ASSERT_OK(hub);
    hub_ = *std::move(hub);
  }

  std::string File(const std::string& name) const { return (dir_.path() / name).string(); }
  std::string ModelOf(int rank, const std::string& name = "net") const {
    return File(StrCat("device", rank, "/", name, ".mindir"));
  }

  std::unique_ptr<AgentProcess> Spawn(int rank, const std::vector<std::string>& models,
                                      const std::string& key = "") const {
    std::vector<std::string> flags = {
        "--server",       hub_->address(),
        "--rank",         StrCat(rank),
        "--rank-size",    StrCat(kRanks),
        "--group-config", File(StrCat("device", rank, "/group_config.pb"))};
    for (const std::string& model : models) flags.insert(flags.end(), {"--model", model});
    return std::make_unique<AgentProcess>(std::move(flags), key);
  }

  void SpawnRank(int rank) { agents_[static_cast<size_t>(rank)] = Spawn(rank, {ModelOf(rank)}); }
  AgentProcess& agent(int rank) { return *agents_[static_cast<size_t>(rank)]; }

  void SpawnAll() {
    for (int rank = 0; rank < kRanks; ++rank) SpawnRank(rank);
  }

  void AwaitReady() {
    const auto executor = hub_->WaitReady(Soon());
    ASSERT_OK(executor);
    executor_ = *executor;
  }

  Status Run(std::vector<float>* y) {
    const Tensor x = Tensor::Of<float>({kRows, kWidth}, {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1});
    std::vector<Tensor> outputs;
    PIPESERVE_RETURN_IF_ERROR(executor_->Run(0, std::span(&x, 1), {.deadline = Soon()}, &outputs));
    *y = Floats(outputs.at(0));
    return OkStatus();
  }

  void ExpectRightAnswer() {
    std::vector<float> y;
    ASSERT_OK(Run(&y));
    EXPECT_EQ(y, (std::vector<float>{0, -2, -4, -6, -8, -10, -5, -7, -9, -11, -13, -15}));
  }

  TestFolder dir_;
  std::unique_ptr<AgentHub> hub_;
  std::array<std::unique_ptr<AgentProcess>, kRanks> agents_;
  std::shared_ptr<Executor> executor_;
};

TEST_F(AgentProgramTest, RanksComputeTogetherAndExitWithTheServable) {
  SpawnAll();
  ASSERT_NO_FATAL_FAILURE(AwaitReady());
  for (int rank = 0; rank < kRanks; ++rank) EXPECT_EQ(agent(rank).Status(), R"({"state":"ready"})");
  for (int i = 0; i < 20; ++i) ExpectRightAnswer();
  hub_->Stop();
  for (int rank = 0; rank < kRanks; ++rank) EXPECT_EQ(agent(rank).Wait(), 0);
}

TEST_F(AgentProgramTest, KilledRankFailsTheRunningCallAndItsSuccessorHealsTheGroup) {
  SpawnAll();
  ASSERT_NO_FATAL_FAILURE(AwaitReady());
  agent(0).Freeze();  // The call cannot end before the kill.
  auto call = std::async(std::launch::async, [&] {
    std::vector<float> y;
    return Run(&y);
  });
  agent(1).Signal(SIGKILL);
  EXPECT_ERROR(call.get(), kUnavailable, "rank 1");
  EXPECT_EQ(agent(1).Wait(), -SIGKILL);
  EXPECT_FALSE(hub_->ready());

  agent(0).Signal(SIGCONT);
  SpawnRank(1);
  ASSERT_NO_FATAL_FAILURE(AwaitReady());
  ExpectRightAnswer();
}

TEST_F(AgentProgramTest, FrozenRankEndsTheEpochByTheCallTimeoutAndComesBack) {
  OpenHub(std::chrono::milliseconds(300));
  SpawnAll();
  ASSERT_NO_FATAL_FAILURE(AwaitReady());
  agent(2).Freeze();
  std::vector<float> y;
  EXPECT_ERROR(Run(&y), kDeadlineExceeded, "Failed to wait for result of rank");
  EXPECT_FALSE(hub_->ready());

  agent(2).Signal(SIGCONT);
  ASSERT_NO_FATAL_FAILURE(AwaitReady());
  ExpectRightAnswer();
}

TEST_F(AgentProgramTest, SignalAndLauncherEndAnAgentInOrder) {
  SpawnAll();
  ASSERT_NO_FATAL_FAILURE(AwaitReady());
  agent(0).Signal(SIGTERM);
  EXPECT_EQ(agent(0).Wait(), 0);
  agent(1).CloseLauncher();
  EXPECT_EQ(agent(1).Wait(), 0);
  agent(2).Signal(SIGINT);
  EXPECT_EQ(agent(2).Wait(), 0);
}

TEST_F(AgentProgramTest, LauncherEndsAnAgentThatHasNoServer) {
  hub_->Stop();
  SpawnRank(0);
  agent(0).CloseLauncher();
  EXPECT_EQ(agent(0).Wait(), 0);
}

TEST_F(AgentProgramTest, ModelThatCannotBeReadIsToldToTheLauncher) {
  const auto missing = Spawn(0, {File("none.mindir")});
  EXPECT_THAT(missing->Status(), AllOf(HasSubstr(R"("state":"failed")"), HasSubstr("none.mindir")));
  EXPECT_EQ(missing->Wait(), 1);
}

TEST_F(AgentProgramTest, EncryptedModelNeedsItsKey) {
  const std::string key = "sixteen byte key";
  for (int rank = 0; rank < kRanks; ++rank) {
    const std::string plain = FileBytes(ModelOf(rank));
    dir_.Write(ModelOf(rank), Encrypt(CipherLayout::kTaggedGcm, key, plain));
  }
  const auto without = Spawn(0, {ModelOf(0)});
  EXPECT_THAT(without->Status(), HasSubstr("encrypted"));
  EXPECT_EQ(without->Wait(), 1);
  const auto wrong = Spawn(0, {ModelOf(0)}, "another key, 16b");
  EXPECT_THAT(wrong->Status(), HasSubstr(R"("state":"failed")"));
  EXPECT_EQ(wrong->Wait(), 1);

  for (int rank = 0; rank < kRanks; ++rank) {
    agents_[static_cast<size_t>(rank)] = Spawn(rank, {ModelOf(rank)}, key);
  }
  ASSERT_NO_FATAL_FAILURE(AwaitReady());
  ExpectRightAnswer();
}

TEST_F(AgentProgramTest, AgentThatDoesNotFitIsRefusedAndTheGroupStillForms) {
  SaveModel("tall", kRows + 1, dir_);
  SpawnRank(0);
  ASSERT_EQ(agent(0).Status(), R"({"state":"ready"})");

  const auto second = Spawn(0, {ModelOf(0)});
  EXPECT_THAT(second->Status(), AllOf(HasSubstr("failed"), HasSubstr("rank 0")));
  EXPECT_EQ(second->Wait(), 1);
  const auto other_shape = Spawn(1, {ModelOf(1, "tall")});
  EXPECT_THAT(other_shape->Status(), HasSubstr("Rank 1 input infos not match rank 0"));
  EXPECT_EQ(other_shape->Wait(), 1);
  const auto other_count = Spawn(1, {ModelOf(1), ModelOf(1)});
  EXPECT_THAT(other_count->Status(), HasSubstr("The number of graph not match"));
  EXPECT_EQ(other_count->Wait(), 1);

  SpawnRank(1);
  SpawnRank(2);
  ASSERT_NO_FATAL_FAILURE(AwaitReady());
  ExpectRightAnswer();
}

TEST_F(AgentProgramTest, WrongFlagsAreAUsageError) {
  EXPECT_EQ(AgentProcess({"--server", "127.0.0.1:1", "--rank", "0"}).Wait(), 2);
  EXPECT_EQ(AgentProcess({"--rank", "x"}).Wait(), 2);
  EXPECT_EQ(AgentProcess({"--collectives", "smoke"}).Wait(), 2);
  EXPECT_EQ(AgentProcess({"--no-such-flag"}).Wait(), 2);
}

}  // namespace
}  // namespace pipeserve
