// pipeserve-agent on the simulated Ascend devices of tests/ascend, one process per rank.
#include <array>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <set>
#include <thread>

#include "agent/agent_hub.h"
#include "agent/agent_process.h"
#include "base/str_cat.h"
#include "support/fixture_values.h"
#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

Deadline Soon() { return Deadline::After(std::chrono::seconds(60)); }

// Set for the agents, which find the simulator where a toolkit's home should be.
class Environment {
 public:
  Environment(const TestFolder& folder, const std::string& settings)
      : report_(folder.File("violations")) {
    ::setenv("ASCEND_HOME_PATH", PIPESERVE_ASCEND_SIM, 1);
    ::setenv("PIPESERVE_ASCEND_SIM", settings.c_str(), 1);
    ::setenv("PIPESERVE_ASCEND_SIM_REPORT", report_.c_str(), 1);
  }
  ~Environment() {
    for (const char* name :
         {"ASCEND_HOME_PATH", "PIPESERVE_ASCEND_SIM", "PIPESERVE_ASCEND_SIM_REPORT"}) {
      ::unsetenv(name);
    }
  }

  // What the agents' devices have reported.
  std::string Violations() const {
    std::ifstream file(report_);
    return {std::istreambuf_iterator<char>(file), {}};
  }

 private:
  const std::string report_;
};

// Which ranks overlap copies with computing.
enum class Overlap { kNone, kOddRanks, kAll };

class AgentsOnAscend {
 public:
  explicit AgentsOnAscend(const ShardedModel& model, Overlap overlap = Overlap::kNone)
      : model_(model), overlap_(overlap) {
    AgentHubOptions options;
    options.servable_name = "net";
    options.rank_table.ranks.resize(static_cast<size_t>(model.ranks), {"127.0.0.1", 0});
    options.address = "127.0.0.1:0";
    auto hub = AgentHub::Create(options);
    EXPECT_OK(hub);
    hub_ = *std::move(hub);
    for (int rank = 0; rank < model.ranks; ++rank) Spawn(rank);
  }

  void Spawn(int rank) {
    const auto folder = SharedFile("mindir/sharded") / model_.folder / StrCat("device", rank);
    agents_.resize(static_cast<size_t>(model_.ranks));
    std::vector<std::string> flags = {"--server",
                                      hub_->address(),
                                      "--rank",
                                      StrCat(rank),
                                      "--rank-size",
                                      StrCat(model_.ranks),
                                      "--device",
                                      "ascend",
                                      "--deterministic",
                                      "--precision",
                                      "strict",
                                      "--device-id",
                                      StrCat(rank),
                                      "--model",
                                      (folder / StrCat(model_.graph, ".mindir")).string(),
                                      "--group-config",
                                      (folder / "group_config.pb").string()};
    const bool is_odd = rank % 2 == 1;
    if (overlap_ == Overlap::kAll || (overlap_ == Overlap::kOddRanks && is_odd)) {
      flags.emplace_back("--overlap");
    }
    agents_[static_cast<size_t>(rank)] = std::make_unique<AgentProcess>(std::move(flags));
  }

  AgentProcess& agent(int rank) { return *agents_[static_cast<size_t>(rank)]; }
  Result<std::shared_ptr<Executor>> WaitReady() { return hub_->WaitReady(Soon()); }

  // Tells them to end; whether all did so by themselves.
  void Stop() {
    hub_->Stop();
    for (const auto& agent : agents_) EXPECT_EQ(agent->Wait(), 0);
  }

 private:
  const ShardedModel model_;
  const Overlap overlap_;
  std::unique_ptr<AgentHub> hub_;
  std::vector<std::unique_ptr<AgentProcess>> agents_;
};

class AgentAscendTest : public testing::TestWithParam<ShardedModel> {
 protected:
  void SetUp() override { SKIP_WITHOUT_SHARED_FILES(); }
};

TEST_P(AgentAscendTest, RanksOnDevicesGiveTheStoredValues) {
  const TestFolder folder;
  const Environment environment(folder, "mode=lazy");
  AgentsOnAscend agents(GetParam());
  const auto executor = agents.WaitReady();
  ASSERT_OK(executor);
  const auto data = StoredValues(GetParam().graph);
  const std::vector<Tensor> inputs = Numbered(data, "in");
  std::vector<Tensor> outputs;
  for (int i = 0; i < 3; ++i) {
    ASSERT_OK((*executor)->Run(0, inputs, {.deadline = Soon()}, &outputs));
    ExpectClose(outputs.at(0), data.at("out0"));
  }
  agents.Stop();
  EXPECT_EQ(environment.Violations(), "");
}

INSTANTIATE_TEST_SUITE_P(Sharded, AgentAscendTest, testing::ValuesIn(kShardedModels));

class AgentOverlapTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { SKIP_WITHOUT_SHARED_FILES(); }

  // What four callers at a time get, which must be the same each time.
  std::string OutputBytes(Overlap overlap) {
    constexpr ShardedModel kModel = {"v2.10-hccl/col_8", "matmul_rand", 8};
    const TestFolder folder;
    const Environment environment(folder, GetParam());
    AgentsOnAscend agents(kModel, overlap);
    const auto executor = agents.WaitReady();
    EXPECT_OK(executor);
    if (!executor.ok()) return "";
    const std::vector<Tensor> inputs = Numbered(StoredValues(kModel.graph), "in");
    std::array<std::set<std::string>, 4> seen;
    {
      std::vector<std::jthread> callers;
      for (std::set<std::string>& mine : seen) {
        callers.emplace_back([&executor, &inputs, &mine] {
          for (int i = 0; i < 8; ++i) {
            std::vector<Tensor> outputs;
            EXPECT_OK((*executor)->Run(0, inputs, {.deadline = Soon()}, &outputs));
            if (outputs.empty()) return;
            mine.emplace(static_cast<const char*>(outputs[0].data()), outputs[0].byte_size());
          }
        });
      }
    }
    agents.Stop();
    EXPECT_EQ(environment.Violations(), "");
    for (const std::set<std::string>& mine : seen) EXPECT_EQ(mine, seen[0]);
    EXPECT_EQ(seen[0].size(), 1u);
    return seen[0].empty() ? "" : *seen[0].begin();
  }
};

TEST_P(AgentOverlapTest, EightRanksGiveTheSameBitsWithAndWithoutIt) {
  const std::string wanted = OutputBytes(Overlap::kNone);
  EXPECT_TRUE(OutputBytes(Overlap::kAll) == wanted);
  EXPECT_TRUE(OutputBytes(Overlap::kOddRanks) == wanted);
}

// The rank that fails says so of its call; another that begins behind it fails, too, and none
// hangs.
TEST_P(AgentOverlapTest, ADeviceThatFailsEndsTheCallsUnderWayWithAnError) {
  constexpr ShardedModel kModel = {"v2.10-hccl/mix_4", "matmul_rand", 4};
  const TestFolder folder;
  const Environment environment(folder, GetParam());
  ::setenv("PIPESERVE_ASCEND_SIM_DEVICE_2", "fail-task 60", 1);
  AgentsOnAscend agents(kModel, Overlap::kAll);
  const auto executor = agents.WaitReady();
  ::unsetenv("PIPESERVE_ASCEND_SIM_DEVICE_2");
  ASSERT_OK(executor);
  const auto data = StoredValues(kModel.graph);
  const std::vector<Tensor> inputs = Numbered(data, "in");
  std::array<Status, 2> ends;
  {
    std::vector<std::jthread> callers;
    for (Status& end : ends) {
      callers.emplace_back([&] {
        std::vector<Tensor> outputs;
        while (end.ok()) {
          end = (*executor)->Run(0, inputs, {.deadline = Soon()}, &outputs);
          if (end.ok()) ExpectClose(outputs.at(0), data.at("out0"));
        }
      });
    }
  }
  for (const Status& end : ends) EXPECT_EQ(end.code(), StatusCode::kUnavailable) << end;
}

INSTANTIATE_TEST_SUITE_P(Modes, AgentOverlapTest,
                         testing::Values("mode=eager", "mode=lazy", "mode=random"),
                         [](const auto& info) { return std::string(info.param).substr(5); });

class AgentDeviceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    SKIP_WITHOUT_SHARED_FILES();
    AgentHubOptions options;
    options.servable_name = "net";
    options.rank_table.ranks.resize(1, {"127.0.0.1", 0});
    options.address = "127.0.0.1:0";
    auto hub = AgentHub::Create(options);
    ASSERT_OK(hub);
    hub_ = *std::move(hub);
  }

  // On this machine, which has no such device.
  std::vector<std::string> Flags(const std::string& device) const {
    return {"--server", hub_->address(), "--rank",  "0",
            "--device", device,          "--model", SharedFile("mindir/v1.3/matmul_0.mindir")};
  }

  std::unique_ptr<AgentHub> hub_;
};

TEST_F(AgentDeviceTest, AscendIsAnErrorWhereItIsNot) {
  AgentProcess agent(Flags("ascend"));
  EXPECT_THAT(agent.Status(), testing::HasSubstr("Ascend's runtime has no function aclInit"));
  EXPECT_EQ(agent.Wait(), 1);
}

TEST_F(AgentDeviceTest, AutoTakesTheCpuThen) {
  AgentProcess agent(Flags("auto"));
  EXPECT_OK(hub_->WaitReady(Soon()));
  hub_->Stop();
  EXPECT_EQ(agent.Wait(), 0);
}

}  // namespace
}  // namespace pipeserve
