// pipeserve-agent on the simulated Ascend devices of tests/ascend, one process per rank.
#include <array>
#include <memory>
#include <set>
#include <thread>

#include "agent/ascend_agents.h"

namespace pipeserve {
namespace {

// Which ranks overlap copies with computing.
enum class Overlap { kNone, kOddRanks, kAll };

void SpawnAll(AgentsOnAscend& agents, Overlap overlap) {
  for (int rank = 0; rank < agents.ranks(); ++rank) {
    const bool overlaps =
        overlap == Overlap::kAll || (overlap == Overlap::kOddRanks && rank % 2 == 1);
    agents.Spawn(rank, "", std::vector<std::string>(overlaps ? 1 : 0, "--overlap"));
  }
}

class AgentAscendTest : public testing::TestWithParam<ShardedModel> {
 protected:
  void SetUp() override { SKIP_WITHOUT_SHARED_FILES(); }
};

TEST_P(AgentAscendTest, RanksOnDevicesGiveTheStoredValues) {
  const TestFolder folder;
  const SimulatedDevices devices(folder, "mode=lazy");
  AgentsOnAscend agents(folder, GetParam(), {GetParam().graph});
  agents.SpawnAll();
  const auto executor = agents.WaitReady();
  ASSERT_OK(executor);
  for (int i = 0; i < 3; ++i) ExpectStored(**executor, 0, GetParam().graph);
  EXPECT_THAT(agents.Stop(), testing::Each(0));
  EXPECT_EQ(devices.Violations(), "");
}

INSTANTIATE_TEST_SUITE_P(Sharded, AgentAscendTest, testing::ValuesIn(kShardedModels));

class AgentOverlapTest : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override { SKIP_WITHOUT_SHARED_FILES(); }

  // What four callers at a time get, which must be the same each time.
  std::string OutputBytes(Overlap overlap) {
    constexpr ShardedModel kModel = {"v2.10-hccl/col_8", "matmul_rand", 8};
    const TestFolder folder;
    const SimulatedDevices devices(folder, GetParam());
    AgentsOnAscend agents(folder, kModel, {kModel.graph});
    SpawnAll(agents, overlap);
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
            EXPECT_OK((*executor)->Run(0, inputs, {}, &outputs));
            if (outputs.empty()) return;
            mine.emplace(static_cast<const char*>(outputs[0].data()), outputs[0].byte_size());
          }
        });
      }
    }
    EXPECT_THAT(agents.Stop(), testing::Each(0));
    EXPECT_EQ(devices.Violations(), "");
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
  const std::string status = agent.Status();
  EXPECT_THAT(status, testing::HasSubstr("Ascend's runtime cannot be loaded: libascendcl.so: "));
  EXPECT_THAT(status, testing::HasSubstr("; libacl_rt.so: "));
  EXPECT_EQ(agent.Wait(), 1);
}

TEST_F(AgentDeviceTest, AutoTakesTheCpuThen) {
  AgentProcess agent(Flags("auto"));
  EXPECT_OK(hub_->WaitReady(Deadline::After(std::chrono::seconds(60))));
  hub_->Stop();
  EXPECT_EQ(agent.Wait(), 0);
}

}  // namespace
}  // namespace pipeserve
