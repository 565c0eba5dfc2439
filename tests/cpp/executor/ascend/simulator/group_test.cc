// Communicators and collectives, among processes and with one rank.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "executor/ascend/simulator/fixture.h"

extern char** environ;

namespace pipeserve::ascend {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::Each;
using testing::HasSubstr;
using testing::SizeIs;

std::string ReadFile(const std::string& path) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

// A table of ranks on the devices 0, 1, ... of one server.
std::string RankTable(int ranks) {
  std::string devices;
  for (int i = 0; i < ranks; ++i) {
    const std::string number = std::to_string(i);
    devices += (i == 0 ? "" : ",");
    devices += R"({"device_id": ")" + number + R"(", "device_ip": "10.1.0.)" + number +
               R"(", "rank_id": ")" + number + R"("})";
  }
  return R"({"version": "1.0", "status": "completed", "server_count": "1", "server_list": [)"
         R"({"server_id": "10.0.0.1", "device": [)" +
         devices + "]}]}";
}

// Runs ranks as processes in a folder of its own.
class Group {
 public:
  Group() {
    static int next = 0;
    folder_ = testing::TempDir() + "ascend_sim_group_" + std::to_string(getpid()) + "_" +
              std::to_string(next++);
    std::filesystem::create_directories(folder_);
    setenv("PIPESERVE_ASCEND_SIM_RUN", folder_.c_str(), 1);
    setenv("PIPESERVE_ASCEND_SIM_REPORT", Path("report").c_str(), 1);
  }
  ~Group() {
    for (const char* each :
         {"PIPESERVE_ASCEND_SIM_RUN", "PIPESERVE_ASCEND_SIM_REPORT", "PIPESERVE_ASCEND_SIM"}) {
      unsetenv(each);
    }
    std::filesystem::remove_all(folder_);
  }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }
  // Never seen half written: other ranks may be reading it.
  std::string WriteTable(int ranks) const {
    std::ofstream(Path("table.part")) << RankTable(ranks);
    std::filesystem::rename(Path("table.part"), Path("table.json"));
    return Path("table.json");
  }

  // Starts a rank; `settings` are for it alone.
  void Start(int rank, int ranks, const std::string& way, const std::vector<std::string>& steps,
             const std::string& settings = "") {
    setenv("PIPESERVE_ASCEND_SIM", settings.c_str(), 1);
    std::vector<std::string> words = {PIPESERVE_SIM_RANK, std::to_string(rank),
                                      std::to_string(ranks), way,
                                      way == "table" ? WriteTable(ranks) : Path("root")};
    words.insert(words.end(), steps.begin(), steps.end());
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    const std::string output = Path("out" + std::to_string(processes_.size()));
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output.c_str(),
                                     O_WRONLY | O_CREAT | O_TRUNC, 0600);
    pid_t process = 0;
    ASSERT_EQ(posix_spawn(&process, words[0].c_str(), &actions, nullptr, arguments.data(), environ),
              0);
    posix_spawn_file_actions_destroy(&actions);
    processes_.push_back(process);
    unsetenv("PIPESERVE_ASCEND_SIM");
  }

  void StartAll(int ranks, const std::string& way, const std::vector<std::string>& steps,
                const std::string& settings = "") {
    for (int rank = 0; rank < ranks; ++rank) Start(rank, ranks, way, steps, settings);
  }

  size_t size() const { return processes_.size(); }

  void KillLastOnceItMeets() const {
    const std::string maps = "/proc/" + std::to_string(processes_.back()) + "/maps";
    while (ReadFile(maps).find("/ascend_sim_") == std::string::npos) std::this_thread::yield();
    kill(processes_.back(), SIGKILL);
  }

  // What each process printed, once all have ended.
  std::vector<std::string> Await() {
    std::vector<std::string> outputs;
    for (size_t i = 0; i < processes_.size(); ++i) {
      int status = 0;
      EXPECT_EQ(waitpid(processes_[i], &status, 0), processes_[i]);
      outputs.push_back(ReadFile(Path("out" + std::to_string(i))));
    }
    processes_.clear();
    return outputs;
  }
  // What the first printed once it has ended; ends the others.
  std::string AwaitFirst() {
    int status = 0;
    EXPECT_EQ(waitpid(processes_[0], &status, 0), processes_[0]);
    for (size_t i = 1; i < processes_.size(); ++i) {
      kill(processes_[i], SIGKILL);
      waitpid(processes_[i], &status, 0);
    }
    processes_.clear();
    return ReadFile(Path("out0"));
  }
  std::string report() const { return ReadFile(Path("report")); }

 private:
  std::string folder_;
  std::vector<pid_t> processes_;
};

class SimulatorGroupSizeTest : public testing::TestWithParam<int> {};

TEST_P(SimulatorGroupSizeTest, SumsAndGathersByTheRankTable) {
  for (const char* mode : {"eager", "lazy", "random"}) {
    Group group;
    group.StartAll(GetParam(), "table", {"sum:1000", "gather:16", "sum:1", "gather:1"},
                   std::string("mode=") + mode);
    EXPECT_THAT(group.Await(), AllOf(SizeIs(GetParam()), Each("ok\nok\nok\nok\n"))) << mode;
    EXPECT_EQ(group.report(), "");
  }
}
INSTANTIATE_TEST_SUITE_P(Ranks, SimulatorGroupSizeTest, testing::Values(1, 2, 4));

TEST(SimulatorGroupTest, MoreDataThanTheRanksExchangeAtOnce) {
  Group group;
  group.StartAll(2, "table", {"sum:200000", "gather:100000"});
  EXPECT_THAT(group.Await(), Each("ok\nok\n"));
}

TEST(SimulatorGroupTest, RanksFindEachOtherByARootInfo) {
  Group group;
  group.StartAll(3, "root", {"sum:5"});
  EXPECT_THAT(group.Await(), Each("ok\n"));
  EXPECT_EQ(group.report(), "");
}

TEST(SimulatorGroupTest, SumsCanBeInAnotherOrder) {
  Group group;
  group.StartAll(4, "table", {"sum:1000"}, "reverse_sums=1");
  EXPECT_THAT(group.Await(), Each("sum: -1\n"));  // Other bits than in the order of the ranks.
}

TEST(SimulatorGroupTest, ProcessesAreSteeredAndWatchedFromOutside) {
  Group group;
  const std::string summary = group.Path("summary");
  setenv("PIPESERVE_ASCEND_SIM_SUMMARY", summary.c_str(), 1);
  setenv("PIPESERVE_ASCEND_SIM_DEVICE_1", "set exec_ms=10000;fail HcclAllReduce 1 4", 1);
  group.StartAll(2, "table", {"sum:8"}, "exec_ms=500");
  EXPECT_THAT(group.Await(), testing::ElementsAre("sum: 107020\n", "sum: 4\n"));
  EXPECT_EQ(ReadFile(summary), "");
  unsetenv("PIPESERVE_ASCEND_SIM_DEVICE_1");
  group.StartAll(2, "table", {"sum:8"});
  EXPECT_THAT(group.Await(), Each("ok\n"));
  EXPECT_THAT(ReadFile(summary), ContainsRegex(" finalised after [0-9]+ calls and 1 tasks\n"));
  unsetenv("PIPESERVE_ASCEND_SIM_SUMMARY");
}

TEST(SimulatorGroupTest, AGroupCanBeMadeAgain) {
  Group group;
  for (int i = 0; i < 2; ++i) {
    group.StartAll(2, "table", {"sum:5"});
    EXPECT_THAT(group.Await(), Each("ok\n"));
  }
}

TEST(SimulatorGroupTest, RanksThatCallDifferentThings) {
  for (const char* step : {"gather:8", "sum:9"}) {
    Group group;
    group.Start(0, 2, "table", {"sum:8"});
    group.Start(1, 2, "table", {step});
    const auto outputs = group.Await();
    EXPECT_EQ(outputs[0], "sum: 107020\n");
    EXPECT_THAT(group.report(), AllOf(HasSubstr("H2: rank 0"), HasSubstr("H2: rank 1"))) << step;
  }
}

TEST(SimulatorGroupTest, AbsentRankTimesOut) {
  Group group;
  group.Start(0, 2, "table", {"sum:8"}, "connect_ms=300");
  EXPECT_THAT(group.Await(), Each("join: 9\n"));
}

TEST(SimulatorGroupTest, RankThatDiesEndsTheCollectiveOfTheOthers) {
  Group group;
  group.Start(0, 2, "table", {"sum:8", "sum:8"});
  group.Start(1, 2, "table", {"sum:8", "sum:8"}, "die_at=2");
  EXPECT_EQ(group.Await()[0], "ok\nsum: 107020\n");
  group.StartAll(2, "table", {"sum:8"});  // What is left of it disturbs nobody.
  EXPECT_THAT(group.Await(), Each("ok\n"));
}

TEST(SimulatorGroupTest, RankThatIsTooSlow) {
  Group group;
  group.Start(0, 2, "table", {"sum:8"}, "exec_ms=100");
  group.Start(1, 2, "table", {"sum:8"}, "slow_ms=60000");
  EXPECT_EQ(group.AwaitFirst(), "sum: 107020\n");
}

TEST(SimulatorGroupTest, RankThatDiesBeforeAllHaveComeCanComeAgain) {
  Group group;
  for (const int rank : {0, 1, 1, 2}) {
    group.Start(rank, 3, "table", {"sum:8"});
    if (rank == 1 && group.size() == 2) group.KillLastOnceItMeets();
  }
  EXPECT_THAT(group.Await(), testing::ElementsAre("ok\n", "", "ok\n", "ok\n"));
}

TEST(SimulatorGroupTest, OneRankTwice) {
  Group group;
  group.Start(0, 2, "table", {"sum:8"}, "connect_ms=2000");
  group.Start(0, 2, "table", {"sum:8"}, "connect_ms=2000");
  group.Await();
  EXPECT_THAT(group.report(), HasSubstr("H5: HcclCommInitClusterInfo of rank 0"));
}

// A group of one rank in this process.
class SimulatorCommTest : public SimulatorTest {
 protected:
  int32_t Join(const std::string& table, uint32_t rank = 0) {
    std::ofstream(folder.Path("table")) << table;
    return Code(acl.HcclCommInitClusterInfo(folder.Path("table").c_str(), rank, &comm));
  }
  int32_t Sum(void* from, void* to, uint64_t count, abi::Stream* on,
              abi::HcclDataType type = abi::HcclDataType::kFloat) {
    return Code(acl.HcclAllReduce(from, to, count, type, abi::HcclReduceOp::kSum, comm, on));
  }

  Group folder;
  abi::Comm* comm = nullptr;
};

TEST_F(SimulatorCommTest, GoodUseBreaksNothing) {
  ASSERT_EQ(Join(RankTable(1)), 0);
  void* const block = Upload({1, 2});
  EXPECT_EQ(Sum(block, block, 2, stream), 0);
  EXPECT_ACL(acl.aclrtSynchronizeStreamWithTimeout(stream, kLimit));
  EXPECT_ACL(acl.HcclCommDestroy(comm));
  ASSERT_EQ(Join(RankTable(1)), 0);
  ExpectNothingBroken();
}

TEST_F(SimulatorCommTest, WhatIsWrongWithTheRankTableIsNamed) {
  const auto broken = [&](const std::string& from, const std::string& to, const std::string& text) {
    std::string table = RankTable(2);
    table.replace(table.find(from), from.size(), to);
    EXPECT_EQ(Join(table), 1);
    EXPECT_THAT(SimControl("violations"), AllOf(HasSubstr("7: "), HasSubstr(text)));
    SimControl("reset");
  };
  broken(R"("1.0")", R"("1.2")", "version");
  broken(R"("status": "completed", )", "", "status is missing");
  broken(R"("server_count": "1")", R"("server_count": "2")", "server_count");
  broken(R"("server_count": "1")", R"("server_count": 1)", "not a string");
  broken(R"("rank_id": "1")", R"("rank_id": "2")", "holes");
  broken(R"("rank_id": "1")", R"("rank_id": "0")", "twice");
  broken(R"("device_id": "1")", R"("device_id": "0")", "device_id 0 is there twice");
  broken("10.1.0.1", "10.1.0.0", "device_ip");
  broken(R"("server_list")", R"("super_pod_list": [], "server_list")", "form");
  broken("{", "", "no JSON object");
  EXPECT_EQ(Code(acl.HcclCommInitClusterInfo("/nowhere.json", 0, &comm)), 10);
}

TEST_F(SimulatorCommTest, RankOfAnotherDevice) {
  EXPECT_NE(Join(RankTable(2), 1), 0);
  EXPECT_NE(Join(RankTable(1), 1), 0);
  ExpectBroken({"H5", "H5"});
}

TEST_F(SimulatorCommTest, RankTableNamesPhysicalDevices) {
  setenv("ASCEND_RT_VISIBLE_DEVICES", "5", 1);
  EXPECT_NE(Join(RankTable(1)), 0);
  unsetenv("ASCEND_RT_VISIBLE_DEVICES");
  ExpectBroken({"H5"}, "this process uses 5");
}

TEST_F(SimulatorCommTest, SecondCommunicatorOfOneTable) {
  ASSERT_EQ(Join(RankTable(1)), 0);
  EXPECT_NE(Join(RankTable(1)), 0);
  ExpectBroken({"H5"});
}

TEST_F(SimulatorCommTest, ContextDestroyedWithItsCommunicator) {
  abi::Context* context = nullptr;
  EXPECT_ACL(acl.aclrtCreateContext(&context, 0));
  ASSERT_EQ(Join(RankTable(1)), 0);
  EXPECT_ACL(acl.aclrtDestroyContext(context));
  ExpectBroken({"P5"}, "a communicator");
}

TEST_F(SimulatorCommTest, CollectivesOnTwoStreamsAtOnce) {
  ASSERT_EQ(Join(RankTable(1)), 0);
  EXPECT_EQ(Sum(Upload({1}), NewBlock(4), 1, stream), 0);
  EXPECT_EQ(Sum(Upload({1}), NewBlock(4), 1, NewStream()), 0);
  ExpectBroken({"H3"});
}

TEST_F(SimulatorCommTest, FailedCommunicatorIsFinished) {
  for (const char* fault : {"fail HcclAllReduce 1", "fail-task 1"}) {
    ASSERT_EQ(Join(RankTable(1)), 0);
    void* const block = Upload({1});
    SimControl(fault);
    const int32_t called = Sum(block, block, 1, stream);
    const int32_t waited = Code(acl.aclrtSynchronizeStreamWithTimeout(stream, kLimit));
    EXPECT_NE(called + waited, 0);
    EXPECT_NE(Sum(block, block, 1, stream), 0);
    EXPECT_ACL(acl.HcclCommDestroy(comm));
  }
  ExpectBroken({"H4", "H4"});
}

TEST_F(SimulatorCommTest, FailureThatTheHostHasNotWaitedForBreaksNoRuleYet) {
  ASSERT_EQ(Join(RankTable(1)), 0);
  void* const block = Upload({1});
  void* const other = Upload({1});
  SimControl("fail-task 1");
  EXPECT_EQ(Sum(block, block, 1, stream), 0);
  for (int i = 0; i < 100; ++i) {  // It fails meanwhile.
    EXPECT_EQ(Sum(other, other, 1, stream), 0);
    std::this_thread::yield();
  }
  EXPECT_NE(Code(acl.aclrtSynchronizeStreamWithTimeout(stream, kLimit)), 0);
  EXPECT_NE(Sum(other, other, 1, stream), 0);
  ExpectBroken({"H4"});
  EXPECT_ACL(acl.HcclCommDestroy(comm));
}

TEST_F(SimulatorCommTest, FailureThatAnotherThreadHasWaitedForIsNewsOnce) {
  ASSERT_EQ(Join(RankTable(1)), 0);
  void* const block = Upload({1});
  SimControl("fail-task 1");
  EXPECT_EQ(Sum(block, block, 1, stream), 0);
  std::thread([&] {
    EXPECT_ACL(acl.aclrtSetDevice(0));
    EXPECT_NE(Code(acl.aclrtSynchronizeStreamWithTimeout(stream, kLimit)), 0);
  }).join();
  EXPECT_NE(Sum(block, block, 1, stream), 0);
  ExpectBroken({});
  EXPECT_NE(Sum(block, block, 1, stream), 0);
  ExpectBroken({"H4"});
  EXPECT_ACL(acl.HcclCommDestroy(comm));
}

TEST_F(SimulatorCommTest, DestroyedWhileBusy) {
  SimControl("set mode=lazy");
  ASSERT_EQ(Join(RankTable(1)), 0);
  EXPECT_EQ(Sum(Upload({1}), NewBlock(4), 1, stream), 0);
  EXPECT_EQ(Code(acl.HcclCommDestroy(comm)), 20);
  ExpectBroken({"H4"});
}

TEST_F(SimulatorCommTest, BuffersOfTheHostMisalignedOrOverlapping) {
  ASSERT_EQ(Join(RankTable(1)), 0);
  std::vector<float> host(2);
  EXPECT_NE(Sum(host.data(), NewBlock(8), 2, stream), 0);
  auto* const block = static_cast<std::byte*>(Upload({1, 2, 3}));
  EXPECT_NE(Sum(block + 2, NewBlock(4), 1, stream), 0);
  EXPECT_NE(Sum(block, block + 4, 2, stream), 0);
  ExpectBroken({"H6", "H6", "H6"});
}

TEST_F(SimulatorCommTest, TypesAndSizesOfProducts) {
  ASSERT_EQ(Join(RankTable(1)), 0);
  void* const block = Upload({1, 2});
  EXPECT_EQ(Sum(block, block, 1, stream, abi::HcclDataType::kInt64), 0);
  EXPECT_EQ(Sum(block, block, 1, stream, abi::HcclDataType::kDouble), 5);
  SimControl("set soc=Ascend310P3");
  EXPECT_EQ(Sum(block, block, 1, stream, abi::HcclDataType::kInt64), 5);
  SimControl("set soc=Ascend910A");
  EXPECT_EQ(Join(RankTable(3)), 1);
  ExpectBroken({"6", "6", "6"});
}

TEST_F(SimulatorCommTest, DeviceMemoryBeforeTheCommunicatorOn300IDuo) {
  SimControl("set soc=Ascend310P3");
  NewBlock(4);
  ASSERT_EQ(Join(RankTable(1)), 0);
  ExpectBroken({"H5"});
}

TEST_F(SimulatorCommTest, CollectiveReadsWhatWasNeverWritten) {
  ASSERT_EQ(Join(RankTable(1)), 0);
  EXPECT_EQ(Sum(NewBlock(4), NewBlock(4), 1, stream), 0);
  EXPECT_ACL(acl.aclrtSynchronizeStreamWithTimeout(stream, kLimit));
  ExpectBroken({"M1"});
}

}  // namespace
}  // namespace pipeserve::ascend
