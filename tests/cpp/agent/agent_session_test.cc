#include "agent/agent_session.h"

#include <atomic>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "agent/agent_hub.h"
#include "executor/join_collectives.h"
#include "support/gate.h"
#include "support/graphs.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

Deadline Soon() { return Deadline::After(std::chrono::seconds(20)); }

// Gives back its input, and keeps what it was told about the call.
class EchoExecutor final : public Executor {
 public:
  int graph_count() const override { return 1; }
  const GraphSignature& signature(GraphId /*graph*/) const override { return signature_; }
  Status Run(GraphId /*graph*/, std::span<const Tensor> inputs, const CallContext& context,
             std::vector<Tensor>* outputs) override {
    context_ = context;
    PIPESERVE_RETURN_IF_ERROR(error_);
    outputs->assign(inputs.begin(), inputs.end());
    return OkStatus();
  }

  // Between calls.
  const CallContext& context() const { return context_; }
  void FailWith(Status error) { error_ = std::move(error); }

 private:
  const GraphSignature signature_{.inputs = {{"x", DataType::kFloat32, {2}}},
                                  .outputs = {{"y", DataType::kFloat32, {2}}}};
  CallContext context_;
  Status error_;
};

// An echo of calls that end when the door opens. It refuses inputs that begin with a negative
// number when the call begins, and those that begin with zero when it ends. Once it is lost, all
// calls fail when they end.
class EchoPipeline final : public CallPipeline {
 public:
  Result<std::unique_ptr<Call>> Begin(GraphId /*graph*/, std::span<const Tensor> inputs,
                                      const CallContext& /*context*/) override {
    {
      MutexLock lock(mutex_);
      ++begun_;
    }
    changed_.NotifyAll();
    if (inputs[0].data_as<float>()[0] < 0) return InvalidArgument("negative");
    return std::unique_ptr<Call>(std::make_unique<Echo>(inputs[0], this));
  }

  // Whether so many calls begin, though none can end.
  bool AwaitBegun(int count) {
    const Deadline deadline = Soon();
    MutexLock lock(mutex_);
    while (begun_ < count) {
      if (!changed_.WaitUntil(mutex_, deadline) && begun_ < count) return false;
    }
    return true;
  }
  void Open() { door_.Open(); }
  void Lose() { lost_ = true; }
  int ended() const { return ended_; }

 private:
  class Echo final : public Call {
   public:
    Echo(Tensor x, EchoPipeline* pipeline) : x_(std::move(x)), pipeline_(*pipeline) {}
    Status Finish(std::vector<Tensor>* outputs) override {
      pipeline_.door_.Pass();
      ++pipeline_.ended_;
      if (pipeline_.lost_) return Internal("matmul failed with 507015");
      if (x_.data_as<float>()[0] == 0) return InvalidArgument("zero");
      *outputs = {x_};
      return OkStatus();
    }

   private:
    const Tensor x_;
    EchoPipeline& pipeline_;
  };

  Gate door_;
  std::atomic<bool> lost_ = false;
  std::atomic<int> ended_ = 0;
  Mutex mutex_;
  CondVar changed_;
  int begun_ GUARDED_BY(mutex_) = 0;
};

// A session on a thread, which joins its peers only when `may_join` lets it.
class EchoAgent {
 public:
  EchoAgent(
      const std::string& server, int rank,
      std::function<Status()> may_join = [] { return OkStatus(); },
      CallPipeline* pipeline = nullptr)
      : session_({.server = server,
                  .rank = rank,
                  .peer_address = listener_.address(),
                  .executor = &executor_,
                  .pipeline = pipeline,
                  .join_peers =
                      [=, this](const GroupEpoch& epoch, std::span<const std::string> peers,
                                const WaitLimit& limit, const AnnounceCommunicator& announce) {
                        PIPESERVE_RETURN_IF_ERROR(may_join());
                        auto joined = JoinCollectives(listener_, rank, peers, epoch, limit);
                        if (joined.ok()) announce(*joined);
                        return joined.status();
                      },
                  .on_connected = {},
                  .join_timeout = std::chrono::hours(1)}),
        thread_([this] { EXPECT_OK(session_.Run()); }) {}
  ~EchoAgent() { session_.Stop("the test is over"); }

  const EchoExecutor& executor() const { return executor_; }

 private:
  const SocketListener listener_ = *SocketListener::Open("127.0.0.1:0");
  EchoExecutor executor_;
  AgentSession session_;
  std::jthread thread_;
};

std::unique_ptr<AgentHub> OpenHub(int ranks, LaneKind lane = LaneKind::kShm) {
  AgentHubOptions options;
  options.lane = lane;
  options.servable_name = "echo";
  options.rank_table.ranks.resize(static_cast<size_t>(ranks));
  options.address = "127.0.0.1:0";
  return *AgentHub::Create(options);
}

TEST(AgentSessionTest, RankNeverGivesUpACallByItself) {
  const auto hub = OpenHub(1);
  const EchoAgent agent(hub->address(), 0);
  const auto group = hub->WaitReady(Soon());
  ASSERT_OK(group);
  const Tensor x = Tensor::Of<float>({2}, {1, 2});
  std::vector<Tensor> outputs;
  ASSERT_OK((*group)->Run(0, std::span(&x, 1), {.deadline = Soon()}, &outputs));
  EXPECT_EQ(Floats(outputs.at(0)), (std::vector<float>{1, 2}));
  EXPECT_TRUE(agent.executor().context().deadline.is_infinite());
}

class AgentPipelineTest : public testing::TestWithParam<LaneKind> {};

TEST_P(AgentPipelineTest, CallsBeginBeforeEarlierOnesEndAndEachGetsItsOwnAnswer) {
  EchoPipeline pipeline;
  const auto hub = OpenHub(1, GetParam());
  const EchoAgent agent(hub->address(), 0, [] { return OkStatus(); }, &pipeline);
  const auto group = hub->WaitReady(Soon());
  ASSERT_OK(group);
  {
    std::vector<std::jthread> callers;
    for (const float first : {3.f, -1.f, 0.f, 4.f}) {
      callers.emplace_back([&group, first] {
        const Tensor x = Tensor::Of<float>({2}, {first, 2});
        std::vector<Tensor> outputs;
        const Status status = (*group)->Run(0, std::span(&x, 1), {.deadline = Soon()}, &outputs);
        if (first > 0) {
          ASSERT_OK(status);
          EXPECT_EQ(Floats(outputs.at(0)), (std::vector<float>{first, 2}));
        } else {
          EXPECT_ERROR(status, kInvalidArgument, first < 0 ? "negative" : "zero");
        }
      });
    }
    EXPECT_TRUE(pipeline.AwaitBegun(4));
    pipeline.Open();
  }
  EXPECT_TRUE(hub->ready());
}

TEST_P(AgentPipelineTest, ALostDeviceEndsTheSessionAfterAllAnswers) {
  constexpr int kCalls = 3;
  EchoPipeline pipeline;
  EchoExecutor executor;
  std::atomic<int> asked = 0;
  const auto hub = OpenHub(1, GetParam());
  AgentSession session({.server = hub->address(),
                        .peer_address = "nowhere",
                        .executor = &executor,
                        .pipeline = &pipeline,
                        .join_peers = [](auto&&...) { return OkStatus(); },
                        .device_health =
                            [&asked] {
                              ++asked;
                              return Unavailable("the device is gone");
                            },
                        .on_connected = {}});
  std::jthread thread([&] { EXPECT_ERROR(session.Run(), kUnavailable, "the device is gone"); });
  const auto group = hub->WaitReady(Soon());
  ASSERT_OK(group);
  std::vector<std::jthread> callers;
  for (int i = 0; i < kCalls; ++i) {
    callers.emplace_back([&group] {
      const Tensor x = Tensor::Of<float>({2}, {1, 2});
      std::vector<Tensor> outputs;
      const CallContext context{.deadline = Soon(), .replayable = false};
      const Status status = (*group)->Run(0, std::span(&x, 1), context, &outputs);
      EXPECT_THAT(std::string(status.message()), testing::HasSubstr("matmul failed with 507015"));
    });
  }
  EXPECT_TRUE(pipeline.AwaitBegun(kCalls));
  pipeline.Lose();
  pipeline.Open();
  callers.clear();
  thread.join();
  EXPECT_EQ(pipeline.ended(), kCalls);
  EXPECT_EQ(asked, 1);
}

INSTANTIATE_TEST_SUITE_P(Lanes, AgentPipelineTest, testing::Values(LaneKind::kShm, LaneKind::kGrpc),
                         [](const auto& info) {
                           return info.param == LaneKind::kShm ? "SharedMemory" : "Stream";
                         });

TEST(AgentSessionTest, JoiningEndsWithTheEpoch) {
  const auto hub = OpenHub(3);
  const EchoAgent zero(hub->address(), 0), two(hub->address(), 2);  // These wait for rank 1.
  bool first = true;
  const EchoAgent one(hub->address(), 1, [&] {
    return std::exchange(first, false) ? Unavailable("not this time") : OkStatus();
  });
  EXPECT_OK(hub->WaitReady(Soon()));
}

TEST(AgentSessionTest, StopEndsJoining) {
  const auto hub = OpenHub(2);
  std::optional<EchoAgent> zero(std::in_place, hub->address(), 0);
  Interrupt joining, over;
  const EchoAgent one(hub->address(), 1, [&] {
    joining.Raise();
    (void)PollUntil({}, {Soon(), &over});
    return Unavailable("too late");
  });
  pollfd polled{.fd = joining.fd(), .events = POLLIN, .revents = 0};
  ASSERT_OK(PollUntil(std::span(&polled, 1), Soon()));
  zero.reset();
  over.Raise();
}

// Neither comes back from joining by itself.
class StuckAgent {
 public:
  StuckAgent(const std::string& server, Duration join_timeout)
      : session_({.server = server,
                  .peer_address = "nowhere",
                  .executor = &executor_,
                  .join_peers =
                      [this](const GroupEpoch&, std::span<const std::string>, const WaitLimit&,
                             const AnnounceCommunicator&) {
                        joining_.Raise();
                        (void)PollUntil({}, {Soon(), &let_go_});
                        return Unavailable("let go");
                      },
                  .on_stuck =
                      [this](const Status& reason) {
                        reason_ = reason;
                        let_go_.Raise();
                      },
                  .on_connected = {},
                  .join_timeout = join_timeout,
                  .stuck_limit = std::chrono::milliseconds(10)}),
        thread_([this] { EXPECT_OK(session_.Run()); }) {}

  void AwaitJoining() const {
    pollfd polled{.fd = joining_.fd(), .events = POLLIN, .revents = 0};
    EXPECT_OK(PollUntil(std::span(&polled, 1), Soon()));
  }
  // What it was stuck with, once it was let go because of that.
  Status AwaitStuck() const {
    pollfd polled{.fd = let_go_.fd(), .events = POLLIN, .revents = 0};
    EXPECT_OK(PollUntil(std::span(&polled, 1), Soon()));
    return reason_;
  }
  void Stop() {
    session_.Stop("the test is over");
    thread_.join();
  }

 private:
  EchoExecutor executor_;
  Interrupt joining_, let_go_;
  Status reason_;
  AgentSession session_;
  std::jthread thread_;
};

TEST(AgentSessionTest, JoiningThatOutlivesItsLimitIsTold) {
  const auto hub = OpenHub(1);
  StuckAgent agent(hub->address(), std::chrono::milliseconds(10));
  EXPECT_ERROR(agent.AwaitStuck(), kDeadlineExceeded, "has not ended at its limit");
  agent.Stop();
}

TEST(AgentSessionTest, JoiningThatOutlivesItsEpochIsTold) {
  const auto hub = OpenHub(1);
  StuckAgent agent(hub->address(), std::chrono::hours(1));
  agent.AwaitJoining();
  agent.Stop();
  EXPECT_ERROR(agent.AwaitStuck(), kDeadlineExceeded, "has not ended with its epoch");
}

TEST(AgentSessionTest, ALostDeviceEndsTheSessionAfterTheAnswer) {
  const auto hub = OpenHub(1);
  EchoExecutor executor;
  AgentSession session({.server = hub->address(),
                        .peer_address = "nowhere",
                        .executor = &executor,
                        .join_peers = [](auto&&...) { return OkStatus(); },
                        .device_health = [] { return Unavailable("the device is gone"); },
                        .on_connected = {}});
  std::jthread thread([&] { EXPECT_ERROR(session.Run(), kUnavailable, "the device is gone"); });
  const auto group = hub->WaitReady(Soon());
  ASSERT_OK(group);
  executor.FailWith(Internal("matmul failed with 507015"));
  const Tensor x = Tensor::Of<float>({2}, {1, 2});
  std::vector<Tensor> outputs;
  EXPECT_ERROR((*group)->Run(0, std::span(&x, 1), {.deadline = Soon()}, &outputs), kInternal,
               "matmul failed with 507015");
}

}  // namespace
}  // namespace pipeserve
