// pipeserve-agent on the simulated Ascend devices of tests/ascend, one process per rank.
#include <memory>

#include "agent/ascend_agents.h"

namespace pipeserve {
namespace {

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
