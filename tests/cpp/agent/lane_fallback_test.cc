// Ranks that cannot get their calls through shared memory: they take the stream, one log line says
// why, and a lane that was demanded is an error.
#include <fcntl.h>
#include <sys/resource.h>

#include <array>
#include <memory>

#include "agent/agent_hub.h"
#include "agent/agent_process.h"
#include "agent/fake_lane.h"
#include "agent/group_keeper.h"
#include "base/str_cat.h"
#include "base/unix_socket.h"
#include "pipeserve/graph_builder.h"
#include "pipeserve/log.h"
#include "support/graphs.h"
#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

const Deadline kNow = Deadline(TimePoint{});

Deadline Soon() { return Deadline::After(std::chrono::seconds(30)); }

// Lowers a limit of this process while it lives.
class Limit {
 public:
  Limit(__rlimit_resource resource, rlim_t lower) : resource_(resource) {
    EXPECT_EQ(getrlimit(resource, &before_), 0);
    const rlimit limit{.rlim_cur = lower, .rlim_max = before_.rlim_max};
    EXPECT_EQ(setrlimit(resource, &limit), 0);
  }
  ~Limit() { EXPECT_EQ(setrlimit(resource_, &before_), 0); }
  Limit(const Limit&) = delete;
  Limit& operator=(const Limit&) = delete;

 private:
  const __rlimit_resource resource_;
  rlimit before_{};
};

// The limit with which `count` more descriptors can be opened.
rlim_t DescriptorsAndMore(int count) {
  int limit = 0;
  for (; count > 0; ++limit) count -= fcntl(limit, F_GETFD) < 0 ? 1 : 0;
  return static_cast<rlim_t>(limit);
}

// Writes down what is logged.
class LoggedTest : public ::testing::Test {
 protected:
  LoggedTest() {
    SetLogSink([this](const LogEvent& event) {
      MutexLock lock(mutex_);
      logged_.push_back(FormatLogEvent(event));
    });
  }
  ~LoggedTest() override { SetLogSink(nullptr); }

  std::vector<std::string> logged() {
    MutexLock lock(mutex_);
    return logged_;
  }

 private:
  Mutex mutex_;
  std::vector<std::string> logged_ GUARDED_BY(mutex_);
};

// UBSan looks at an object through a pipe before it trusts its type.
#if defined(__SANITIZE_ADDRESS__)
#define SKIP_WHERE_CHECKS_NEED_DESCRIPTORS() \
  GTEST_SKIP() << "the sanitizer needs descriptors of its own"
#else
#define SKIP_WHERE_CHECKS_NEED_DESCRIPTORS() static_assert(true)
#endif

// Two ranks that listen for memory.
class LaneFallbackTest : public LoggedTest {
 protected:
  static AgentHubOptions Options(LaneKind lane) {
    AgentHubOptions options;
    options.servable_name = "matmul";
    options.rank_table.ranks.resize(2);
    options.lane = lane;
    return options;
  }

  void Connect(GroupKeeper& keeper, int rank) {
    links_[rank] = std::make_shared<FakeLink>();
    const Result<std::string> token =
        keeper.Register({.rank = rank,
                         .instance = 1,
                         .peer_address = StrCat("peer", rank),
                         .lane_address = listeners_[rank].name(),
                         .graphs = {{.inputs = {{"x", DataType::kFloat32, {2}}},
                                     .outputs = {{"y", DataType::kFloat32, {2}}}}}});
    ASSERT_OK(token);
    ASSERT_OK(keeper.Connect(rank, *token, links_[rank]));
  }

  // Both connect and join, and take what memory they are offered.
  void FormGroup(GroupKeeper& keeper) {
    for (const int rank : {0, 1}) ASSERT_NO_FATAL_FAILURE(Connect(keeper, rank));
    for (const int rank : {0, 1}) {
      const bool offered = links_[rank]->shared_memory();
      keeper.GroupReady(rank, links_[rank]->epoch(),
                        offered ? OkStatus() : Unavailable("no memory was offered"));
    }
  }

  const std::array<UnixListener, 2> listeners_{*UnixListener::Open(), *UnixListener::Open()};
  std::array<std::shared_ptr<FakeLink>, 2> links_;
};

TEST_F(LaneFallbackTest, MemoryIsOfferedToAllRanksThatListen) {
  GroupKeeper keeper(Options(LaneKind::kShm));
  FormGroup(keeper);
  EXPECT_OK(keeper.WaitReady(kNow));
  EXPECT_THAT(logged(), ElementsAre(HasSubstr("shared_memory=all ranks")));
}

TEST_F(LaneFallbackTest, LimitOnFileSizesLeavesTheStreamAndOneLogLine) {
  GroupKeeper keeper(Options(LaneKind::kAuto));
  {
    const Limit limit(RLIMIT_FSIZE, 1000);
    FormGroup(keeper);
  }
  EXPECT_FALSE(links_[0]->shared_memory());
  EXPECT_FALSE(links_[1]->shared_memory());
  EXPECT_OK(keeper.WaitReady(kNow));
  EXPECT_THAT(logged(), ElementsAre(AllOf(HasSubstr("group ready"), HasSubstr("pipeserve-inputs"),
                                          HasSubstr("the limit on file sizes is 1000"))));
}

TEST_F(LaneFallbackTest, LimitOnDescriptorsLeavesTheStreamAndOneLogLine) {
  SKIP_WHERE_CHECKS_NEED_DESCRIPTORS();
  GroupKeeper keeper(Options(LaneKind::kAuto));
  {
    const Limit limit(RLIMIT_NOFILE, DescriptorsAndMore(1));  // For the inputs, not the outputs.
    FormGroup(keeper);
  }
  EXPECT_OK(keeper.WaitReady(kNow));
  EXPECT_THAT(logged(), ElementsAre(AllOf(HasSubstr("group ready"), HasSubstr("pipeserve-outputs"),
                                          HasSubstr("Too many open files"))));
}

TEST_F(LaneFallbackTest, RankWithoutARingTakesTheStreamAndTheOtherOneDoesNot) {
  SKIP_WHERE_CHECKS_NEED_DESCRIPTORS();
  GroupKeeper keeper(Options(LaneKind::kAuto));
  {
    // Two areas, the ring of rank 0, and the connection to it, whose place the next ring takes.
    const Limit limit(RLIMIT_NOFILE, DescriptorsAndMore(4));
    FormGroup(keeper);
  }
  EXPECT_TRUE(links_[0]->shared_memory());
  EXPECT_FALSE(links_[1]->shared_memory());
  EXPECT_OK(keeper.WaitReady(kNow));
  EXPECT_THAT(logged(), ElementsAre(AllOf(HasSubstr("group ready"), HasSubstr("rank 1: "),
                                          HasSubstr("Too many open files"))));
}

TEST_F(LaneFallbackTest, RankThatCannotMapTheMemoryTakesTheStream) {
  GroupKeeper keeper(Options(LaneKind::kAuto));
  for (const int rank : {0, 1}) ASSERT_NO_FATAL_FAILURE(Connect(keeper, rank));
  keeper.GroupReady(1, links_[1]->epoch(), ResourceExhausted("no address space"));
  keeper.GroupReady(0, links_[0]->epoch(), OkStatus());
  EXPECT_OK(keeper.WaitReady(kNow));
  EXPECT_THAT(logged(), ElementsAre(HasSubstr("shared_memory=rank 1: no address space")));
}

TEST_F(LaneFallbackTest, StreamThatIsDemandedIsOfferedNoMemory) {
  GroupKeeper keeper(Options(LaneKind::kGrpc));
  FormGroup(keeper);
  EXPECT_FALSE(links_[0]->shared_memory());
  EXPECT_OK(keeper.WaitReady(kNow));
}

TEST_F(LaneFallbackTest, DemandedMemoryThatIsNotToBeHadIsAnErrorUntilItIs) {
  SKIP_WHERE_CHECKS_NEED_DESCRIPTORS();
  GroupKeeper keeper(Options(LaneKind::kShm));
  {
    const Limit limit(RLIMIT_NOFILE, DescriptorsAndMore(0));
    FormGroup(keeper);
  }
  EXPECT_ERROR(keeper.WaitReady(kNow), kFailedPrecondition,
               "the lane is set to shm, but memory cannot be shared: ");
  EXPECT_ERROR(keeper.WaitReady(kNow), kFailedPrecondition, "Too many open files");
  EXPECT_FALSE(keeper.ready());
  EXPECT_TRUE(logged().empty());
  for (const int rank : {0, 1}) {
    EXPECT_ERROR(links_[rank]->closed(), kFailedPrecondition, "the lane is set to shm");
    keeper.Disconnected(rank, links_[rank]->closed());
  }
  FormGroup(keeper);  // The agents come back by themselves.
  EXPECT_OK(keeper.WaitReady(kNow));
}

// The same with agents as processes. They take their limits with them when they start.
class LaneFallbackProcessTest : public LoggedTest {
 protected:
  void Open(LaneKind lane) {
    GraphBuilder builder("net");
    const auto x = *builder.Input("x", DataType::kFloat32, {1, 2});
    const Tensor weight = Tensor::Of<float>({2, 2}, {1, 2, 3, 4});
    const auto product =
        builder.MatMul(x, *builder.Parameter("w", weight), false, false, {{1, 1}, {1, 2}});
    ASSERT_OK(product);
    ASSERT_OK(builder.Output(*product));
    ASSERT_OK(builder.SaveSharded(dir_.path(), 2));
    AgentHubOptions options;
    options.servable_name = "net";
    options.rank_table.ranks.resize(2, {"127.0.0.1", 0});
    options.address = "127.0.0.1:0";
    options.lane = lane;
    hub_ = *AgentHub::Create(options);
    Spawn(0);
    EXPECT_EQ(agents_[0]->Status(), R"({"state":"ready"})");
  }

  // The second rank makes the group form.
  void Spawn(int rank) {
    const std::string folder = (dir_.path() / StrCat("device", rank)).string();
    agents_[rank] = std::make_unique<AgentProcess>(std::vector<std::string>{
        "--server", hub_->address(), "--rank", StrCat(rank), "--rank-size", "2", "--model",
        StrCat(folder, "/net.mindir"), "--group-config", StrCat(folder, "/group_config.pb")});
  }

  TestFolder dir_;
  std::unique_ptr<AgentHub> hub_;
  std::array<std::unique_ptr<AgentProcess>, 2> agents_;
};

TEST_F(LaneFallbackProcessTest, GroupComesUpOverTheStreamWithOneLogLine) {
  ASSERT_NO_FATAL_FAILURE(Open(LaneKind::kAuto));
  const Limit limit(RLIMIT_FSIZE, 1000);
  Spawn(1);
  const auto group = hub_->WaitReady(Soon());
  ASSERT_OK(group);
  const Tensor x = Tensor::Of<float>({1, 2}, {1, 10});
  std::vector<Tensor> outputs;
  ASSERT_OK((*group)->Run(0, std::span(&x, 1), {.deadline = Soon()}, &outputs));
  EXPECT_EQ(Floats(outputs.at(0)), (std::vector<float>{31, 42}));
  EXPECT_THAT(logged(), ElementsAre(AllOf(HasSubstr("group ready"),
                                          HasSubstr("the limit on file sizes is 1000"))));
}

TEST_F(LaneFallbackProcessTest, DemandedMemoryThatIsNotToBeHadIsAnError) {
  ASSERT_NO_FATAL_FAILURE(Open(LaneKind::kShm));
  const Limit limit(RLIMIT_FSIZE, 1000);
  Spawn(1);
  EXPECT_ERROR(
      hub_->WaitReady(Soon()), kFailedPrecondition,
      "the lane is set to shm, but memory cannot be shared: shared memory \"pipeserve-inputs\"");
}

}  // namespace
}  // namespace pipeserve
