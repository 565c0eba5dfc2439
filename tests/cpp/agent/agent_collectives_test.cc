// Eight ranks as processes, and what carries their collectives.
#include <future>
#include <memory>

#include "agent/agent_hub.h"
#include "agent/agent_process.h"
#include "base/str_cat.h"
#include "pipeserve/graph_builder.h"
#include "support/graphs.h"
#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

constexpr int kRanks = 8;
constexpr int64_t kWidth = 8;

Deadline Soon() { return Deadline::After(std::chrono::seconds(30)); }

// weight[i][j] = i - j.
Tensor Weight() {
  Tensor weight(DataType::kFloat32, {kWidth, kWidth});
  for (int64_t i = 0; i < kWidth * kWidth; ++i) {
    weight.mutable_data_as<float>()[i] = static_cast<float>(i / kWidth - i % kWidth);
  }
  return weight;
}

class AgentCollectivesTest : public ::testing::TestWithParam<const char*> {
 protected:
  // y = (x * weight) * weight: the first product is added up over the ranks, the second gathered.
  void SetUp() override {
    GraphBuilder builder("net");
    const auto x = *builder.Input("x", DataType::kFloat32, {1, kWidth});
    const auto weight = *builder.Parameter("weight", Weight());
    const auto added = builder.MatMul(x, weight, false, false, {{1, kRanks}, {kRanks, 1}});
    ASSERT_OK(added);
    const auto again = *builder.Parameter("again", Weight());
    const auto gathered = builder.MatMul(*added, again, false, false, {{1, 1}, {1, kRanks}});
    ASSERT_OK(gathered);
    ASSERT_OK(builder.Output(*gathered));
    ASSERT_OK(builder.SaveSharded(dir_.path(), kRanks));
    AgentHubOptions options;
    options.servable_name = "net";
    options.rank_table.ranks.resize(kRanks, {"127.0.0.1", 0});
    options.address = "127.0.0.1:0";
    options.call_timeout = std::chrono::seconds(20);
    options.failover_timeout = std::chrono::milliseconds(0);  // A call that loses its group fails.
    auto hub = AgentHub::Create(options);
    ASSERT_OK(hub);
    hub_ = *std::move(hub);
    for (int rank = 0; rank < kRanks; ++rank) Spawn(rank);
  }

  void Spawn(int rank) {
    const std::string folder = (dir_.path() / StrCat("device", rank)).string();
    agents_[rank] = std::make_unique<AgentProcess>(std::vector<std::string>{
        "--server", hub_->address(), "--rank", StrCat(rank), "--rank-size", StrCat(kRanks),
        "--collectives", GetParam(), "--model", StrCat(folder, "/net.mindir"), "--group-config",
        StrCat(folder, "/group_config.pb")});
  }

  void AwaitReady() {
    const auto executor = hub_->WaitReady(Soon());
    ASSERT_OK(executor);
    executor_ = *executor;
  }

  Status Run(std::vector<float>* y) {
    const Tensor x = Tensor::Of<float>({1, kWidth}, {1, 2, 3, 4, 5, 6, 7, 8});
    std::vector<Tensor> outputs;
    PIPESERVE_RETURN_IF_ERROR(executor_->Run(0, std::span(&x, 1), {.deadline = Soon()}, &outputs));
    *y = Floats(outputs.at(0));
    return OkStatus();
  }

  void ExpectRightAnswer() {
    std::vector<float> y;
    ASSERT_OK(Run(&y));
    EXPECT_EQ(y, (std::vector<float>{-336, -672, -1008, -1344, -1680, -2016, -2352, -2688}));
  }

  TestFolder dir_;
  std::unique_ptr<AgentHub> hub_;
  std::array<std::unique_ptr<AgentProcess>, kRanks> agents_;
  std::shared_ptr<Executor> executor_;
};

INSTANTIATE_TEST_SUITE_P(Ways, AgentCollectivesTest, ::testing::Values("shm", "socket", "gloo"),
                         [](const auto& info) { return std::string(info.param); });

TEST_P(AgentCollectivesTest, RanksComputeTogether) {
  ASSERT_NO_FATAL_FAILURE(AwaitReady());
  for (int i = 0; i < 20; ++i) ExpectRightAnswer();
}

TEST_P(AgentCollectivesTest, KilledRankFailsTheRunningCallAndItsSuccessorHealsTheGroup) {
  ASSERT_NO_FATAL_FAILURE(AwaitReady());
  ExpectRightAnswer();
  agents_[5]->Freeze();  // The others wait for it in their first collective.
  auto call = std::async(std::launch::async, [&] {
    std::vector<float> y;
    return Run(&y);
  });
  agents_[5]->Signal(SIGKILL);
  EXPECT_ERROR(call.get(), kUnavailable, "rank ");  // Perhaps one that broke because rank 5 did.
  Spawn(5);
  ASSERT_NO_FATAL_FAILURE(AwaitReady());
  ExpectRightAnswer();
}

}  // namespace
}  // namespace pipeserve
