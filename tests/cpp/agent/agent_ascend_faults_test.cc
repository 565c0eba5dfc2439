// What becomes of a group of agents on simulated Ascend devices when the device of one rank fails.
#include <array>
#include <map>
#include <set>
#include <sstream>
#include <thread>
#include <tuple>

#include "agent/ascend_agents.h"

namespace pipeserve {
namespace {

using testing::Each;
using testing::HasSubstr;

constexpr ShardedModel kFour = {"v2.10-hccl/mix_4", "matmul_rand", 4};
constexpr ShardedModel kEight = {"v2.10-hccl/seed_8", "matmul_0", 8};
constexpr int kDeviceLost = 3;

// Does what a supervisor does, starts agents again that have ended, until a group is ready.
// `*codes` are what they ended with, by rank.
Result<std::shared_ptr<Executor>> Supervise(AgentsOnAscend& agents, std::map<int, int>* codes) {
  const Deadline deadline = Deadline::After(std::chrono::seconds(60));
  while (true) {
    auto ready = agents.hub().WaitReady(Deadline::After(std::chrono::milliseconds(20)));
    if (ready.ok() || deadline.HasPassed()) return ready;
    for (int rank = 0; rank < agents.ranks(); ++rank) {
      if (!agents.agent(rank).HasEnded()) continue;
      (*codes)[rank] = agents.agent(rank).Wait();
      agents.Spawn(rank);
    }
  }
}

class AscendFaultsTest : public testing::Test {
 protected:
  void SetUp() override { SKIP_WITHOUT_SHARED_FILES(); }

  const TestFolder folder_;
};

// What happens to rank 1 within a collective, which the others wait in.
struct Failure {
  const char* name;
  const char* commands;  // Of its simulator. The first collective is the one of the warm-up.
  int exit_code;
  const char* error;  // What the call ends with.
  const char* logged;
  bool waits = false;  // Until all the others wait for it.
};

class AscendCollectiveTest : public AscendFaultsTest,
                             public testing::WithParamInterface<std::tuple<Failure, bool>> {
 protected:
  const Failure failure_ = std::get<0>(GetParam());
  const bool overlap_ = std::get<1>(GetParam());
};

TEST_P(AscendCollectiveTest, EndsCleanlyAndTheGroupComesBack) {
  const SimulatedDevices devices(folder_, "exec_ms=600000");
  AgentsOnAscend agents(folder_, kFour, {kFour.graph},
                        std::vector<std::string>(overlap_ ? 1 : 0, "--overlap"));
  for (int rank = 0; rank < agents.ranks(); ++rank) {
    agents.Spawn(rank, rank == 1 ? failure_.commands : "");
  }
  const auto executor = agents.WaitReady();
  ASSERT_OK(executor);
  const Deadline soon = Deadline::After(std::chrono::seconds(20));
  std::array<std::string, 3> errors;  // Of calls at the same time, so that one is behind another.
  {
    std::vector<std::jthread> callers;
    for (std::string& error : errors) {
      callers.emplace_back([&executor, &error] {
        std::vector<Tensor> outputs;
        error = RunStored(**executor, 0, kFour.graph, &outputs).message();
      });
    }
  }
  EXPECT_THAT(errors, Each(testing::Not("")));
  EXPECT_THAT(errors, testing::Contains(HasSubstr(failure_.error)));

  std::map<int, int> codes;
  const auto again = Supervise(agents, &codes);
  ASSERT_OK(again);
  EXPECT_FALSE(soon.HasPassed());
  EXPECT_EQ(codes[1], failure_.exit_code);
  EXPECT_THAT(agents.Log(1), HasSubstr(failure_.logged));
  codes.erase(1);
  // Whoever waited for rank 1; perhaps nobody had come so far if it failed at once.
  EXPECT_TRUE(!codes.empty() || !failure_.waits);
  for (const auto& [rank, code] : codes) {
    EXPECT_EQ(code, kDeviceLost);
    EXPECT_THAT(agents.Log(rank), HasSubstr("device lost"));
    // A call that came behind the one that failed may have told it.
    EXPECT_THAT(agents.Log(rank), testing::AnyOf(HasSubstr("the group of ranks has ended"),
                                                 HasSubstr("with a communicator that has failed")));
  }
  ExpectStored(**again, 0, kFour.graph);
  EXPECT_THAT(agents.Stop(), Each(0));
  EXPECT_EQ(devices.Violations(), "");
}

INSTANTIATE_TEST_SUITE_P(
    Of, AscendCollectiveTest,
    testing::Combine(testing::Values(Failure{"Failing", "fail HcclAllReduce 2", kDeviceLost,
                                             "HcclAllReduce failed with 4 (internal)",
                                             "HcclAllReduce failed with 4 (internal)"},
                                     Failure{"Hanging", "set hang_at=2", kDeviceLost,
                                             "has not finished within 5000 ms",
                                             "the group of ranks has ended", true},
                                     Failure{"Dying", "set die_at=2", 1, "rank 1", ""}),
                     testing::Bool()),
    [](const auto& info) {
      return StrCat(std::get<0>(info.param).name, std::get<1>(info.param) ? "WithOverlap" : "");
    });

// Nothing interrupts a rank that HCCL does not let go.
TEST_F(AscendFaultsTest, WhoIsStuckInHcclWhenTheEpochEndsEndsItsProcess) {
  const SimulatedDevices devices(folder_, "connect_ms=600000");
  AgentsOnAscend agents(folder_, kFour, {kFour.graph});
  for (int rank = 0; rank < agents.ranks(); ++rank) {
    agents.Spawn(rank, rank == 2 ? "hang HcclCommInitRootInfo 1" : "");
  }
  const Deadline deadline = Deadline::After(std::chrono::seconds(30));
  while (devices.Calls().find("failed HcclCommInitRootInfo") == std::string::npos) {
    ASSERT_FALSE(agents.hub().WaitReady(Deadline::After(std::chrono::milliseconds(20))).ok());
    ASSERT_FALSE(deadline.HasPassed());
  }
  agents.agent(1).Signal(SIGKILL);
  std::map<int, int> codes;
  const auto executor = Supervise(agents, &codes);
  ASSERT_OK(executor);
  EXPECT_EQ(codes[1], -SIGKILL);
  EXPECT_EQ(codes[2], kDeviceLost);
  EXPECT_THAT(agents.Log(2), HasSubstr("device lost"));
  EXPECT_THAT(agents.Log(2), HasSubstr("has not ended with its epoch"));
  ExpectStored(**executor, 0, kFour.graph);
  EXPECT_THAT(agents.Stop(), Each(0));
  EXPECT_EQ(devices.Violations(), "");
}

std::string RankTable(int ranks) {
  std::string devices;
  for (int i = 0; i < ranks; ++i) {
    devices += StrCat(i == 0 ? "" : ",", R"({"device_id": ")", i, R"(", "device_ip": "10.1.0.)", i,
                      R"(", "rank_id": ")", i, R"("})");
  }
  return StrCat(R"({"version": "1.0", "status": "completed", "server_count": "1", )",
                R"("server_list": [{"server_id": "10.0.0.1", "device": [)", devices, "]}]}");
}

// Of all lines "<pid> <function> <count>" that name the function.
int CountCalls(const std::string& lines, const std::string& function) {
  int sum = 0, count = 0;
  std::istringstream words(lines);
  for (std::string pid, name; words >> pid >> name >> count;) sum += name == function ? count : 0;
  return sum;
}

TEST_F(AscendFaultsTest, ARankTableMakesTheFirstGroupAndRootInformationTheLaterOnes) {
  const SimulatedDevices devices(folder_, "");
  const std::string table = folder_.Write("table.json", RankTable(kEight.ranks));
  AgentsOnAscend agents(folder_, kEight, {kEight.graph}, {"--rank-table", table});
  agents.SpawnAll();
  auto executor = agents.WaitReady();
  ASSERT_OK(executor);
  ExpectStored(**executor, 0, kEight.graph);

  agents.agent(1).Signal(SIGTERM);
  EXPECT_EQ(agents.agent(1).Wait(), 0);
  EXPECT_EQ(CountCalls(devices.Calls(), "HcclCommInitClusterInfo"), 1);
  EXPECT_EQ(CountCalls(devices.Calls(), "HcclCommInitRootInfo"), 0);
  agents.Spawn(1);  // Has a table that was not used yet; the others have not.
  std::map<int, int> codes;
  executor = Supervise(agents, &codes);
  ASSERT_OK(executor);
  EXPECT_TRUE(codes.empty());
  ExpectStored(**executor, 0, kEight.graph);
  EXPECT_THAT(agents.Stop(), Each(0));
  EXPECT_EQ(CountCalls(devices.Calls(), "HcclCommInitClusterInfo"), kEight.ranks);
  EXPECT_EQ(CountCalls(devices.Calls(), "HcclCommInitRootInfo"), kEight.ranks);
  EXPECT_EQ(devices.Violations(), "");
}

TEST_F(AscendFaultsTest, ARankTableThatPutsTheRankElsewhereIsRefused) {
  const SimulatedDevices devices(folder_, "");
  const std::string table = folder_.Write("table.json", RankTable(2));
  AgentsOnAscend agents(folder_, kFour, {kFour.graph}, {"--rank-table", table});
  agents.Spawn(0);
  EXPECT_THAT(agents.agent(0).Status(), HasSubstr("has 2 ranks, --rank-size is 4"));
  EXPECT_EQ(agents.agent(0).Wait(), 1);
}

TEST_F(AscendFaultsTest, ARankThatComputesOtherwiseIsRefused) {
  const SimulatedDevices devices(folder_, "");
  AgentsOnAscend agents(folder_, kFour, {kFour.graph});
  agents.Spawn(0);
  EXPECT_THAT(agents.agent(0).Status(), HasSubstr("ready"));
  for (const auto& [flag, value, text] :
       {std::tuple("--device", "cpu", "Rank 1 device not match rank 0, details: (cpu) and (ascend"),
        std::tuple("--precision", "hf32", "(ascend, precision hf32, deterministic) and (ascend")}) {
    agents.Spawn(1, "", {flag, value});
    EXPECT_THAT(agents.agent(1).Status(), HasSubstr(text));
    EXPECT_EQ(agents.agent(1).Wait(), 1);
  }
}

// What came of a job of eight agents with two graphs.
struct Job {
  bool answered = false;  // By the agents that were started first.
  std::string text;       // What the calls ended with, and what rank 0 logged.
  std::string calls;      // See SimulatedDevices::Calls().
};

// Both graphs' stored values; whether they came. `*text` gets what came instead.
bool Answers(Executor& executor, std::string* text) {
  bool answered = true;
  for (const GraphId graph : {0, 1}) {
    const std::string model = StrCat("matmul_", graph);
    std::vector<Tensor> outputs;
    const Status status = RunStored(executor, graph, model, &outputs);
    answered = answered && status.ok();
    *text += StrCat(status.message(), "\n");
    if (status.ok()) ExpectClose(outputs.at(0), StoredValues(model).at("out0"));
  }
  return answered;
}

// `commands` are for the simulator of rank 0. Whatever happens to it, the group answers in the end.
Job RunJob(const std::string& commands) {
  const TestFolder folder;
  const SimulatedDevices devices(folder, "connect_ms=2000");
  AgentsOnAscend agents(folder, kEight, {"matmul_0", "matmul_1"});
  for (int rank = 0; rank < agents.ranks(); ++rank) agents.Spawn(rank, rank == 0 ? commands : "");
  Job job;
  std::map<int, int> codes;
  auto executor = Supervise(agents, &codes);
  EXPECT_OK(executor);
  if (!executor.ok()) return job;
  job.answered = Answers(**executor, &job.text) && codes.empty();
  if (!job.answered) {
    executor = Supervise(agents, &codes);
    EXPECT_OK(executor);
    EXPECT_TRUE(executor.ok() && Answers(**executor, &job.text)) << job.text;
  }
  EXPECT_THAT(agents.Stop(), Each(0));
  for (const auto& [rank, code] : codes) {
    if (rank == 0 && code == 1) continue;  // It could not start.
    EXPECT_EQ(code, kDeviceLost) << "rank " << rank;
  }
  EXPECT_EQ(devices.Violations(), "");
  job.text += agents.Log(0);
  job.calls = devices.Calls();
  return job;
}

// The functions that rank 0 called, and so any rank: the first of them also makes root information.
std::set<std::string> FunctionsOf(const std::string& calls) {
  std::set<std::string> functions;
  std::istringstream words(calls);
  for (std::string pid, name, count; words >> pid >> name >> count;) functions.insert(name);
  return functions;
}

// An error that changes nothing, or nobody is left to be told of: what gives something back, and
// what is only asked whether it can.
bool MayGoUnnoticed(const std::string& function) {
  return function.starts_with("aclDestroy") || function == "aclrtFree" ||
         function == "aclrtFreeHost" || function == "aclrtDestroyStream" ||
         function == "aclrtDestroyEvent" || function == "HcclCommDestroy" ||
         function == "aclrtGetSocName" || function == "aclSetAclOpExecutorRepeatable";
}

TEST_F(AscendFaultsTest, EachFunctionThatFailsOnceOnOneOfEightRanksIsACleanError) {
  const Job clean = RunJob("");
  ASSERT_TRUE(clean.answered) << clean.text;
  const std::set<std::string> called = FunctionsOf(clean.calls);
  std::set<std::string> failed;
  for (const std::string& function : called) {
    SCOPED_TRACE(function);
    const Job job = RunJob(StrCat("fail ", function, " 1"));
    std::string error = StrCat(function, " gave nothing");  // What returns a pointer has no code.
    std::istringstream words(job.calls);
    for (std::string pid, word, name, code; words >> pid >> word >> name;) {
      if (word != "failed") continue;
      words >> code;
      failed.insert(name);
      if (!name.starts_with("aclCreate")) error = StrCat(name, " failed with ", code, " (");
    }
    if (job.text.find(error) != std::string::npos) continue;
    EXPECT_TRUE(MayGoUnnoticed(function) && job.answered) << job.text;
  }
  EXPECT_EQ(failed, called);
  EXPECT_GT(called.size(), 30U);
}

}  // namespace
}  // namespace pipeserve
