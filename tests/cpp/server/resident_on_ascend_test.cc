// A state that goes round a graph, kept, from a pipeline function to a device and back: the server,
// shared memory, an agent and the simulated device of tests/ascend.
#include <algorithm>
#include <array>
#include <span>
#include <thread>

#include "agent/agent_hub.h"
#include "agent/agent_session.h"
#include "executor/ascend/ascend_executor.h"
#include "executor/ascend/simulated_runtime.h"
#include "executor/join_collectives.h"
#include "scheduler/fakes.h"
#include "support/graphs.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

constexpr int kTurns = 20;
constexpr std::chrono::seconds kLimit{20};

// state, x -> state + x, both float32[2].
ascend::AscendModel StepModel() {
  TestGraph graph;
  const ValueId state = graph.Input({2}), x = graph.Input({2});
  return graph.Return({graph.Node(OpType::kAdd, {state, x}, {2})});
}

std::unique_ptr<ascend::AscendExecutor> MakeExecutor(bool overlap) {
  ascend::AscendExecutorOptions options;
  options.library = ascend::SimulatedRuntime::Library();
  options.overlap = overlap;
  return *ascend::AscendExecutor::Create({StepModel()}, options);
}

// The only agent of its servable, on a thread.
class AgentOnAscend {
 public:
  AgentOnAscend(const std::string& server, bool overlap)
      : listener_(*SocketListener::Open("127.0.0.1:0")), executor_(MakeExecutor(overlap)) {
    Connect(server);
  }
  ~AgentOnAscend() { Disconnect(); }

  void Connect(const std::string& server) {
    const auto join = [this](const GroupEpoch& epoch, std::span<const std::string> peers,
                             const WaitLimit& limit,
                             const AnnounceCommunicator& announce) -> Status {
      executor_->LeaveGroup();
      PIPESERVE_ASSIGN_OR_RETURN(auto joined, JoinCollectives(listener_, 0, peers, epoch, limit));
      return executor_->JoinGroup(std::move(joined), limit.deadline, announce);
    };
    session_ = std::make_unique<AgentSession>(
        AgentSessionOptions{.server = server,
                            .rank = 0,
                            .peer_address = listener_.address(),
                            .executor = executor_.get(),
                            .pipeline = executor_->pipeline(),
                            .join_peers = join,
                            .on_connected = {},
                            .server_limit = std::chrono::seconds(10)});
    thread_ = std::jthread([this] { EXPECT_OK(session_->Run()); });
  }
  void Disconnect() {
    session_->Stop("the test wants it");
    thread_.join();
  }

 private:
  SocketListener listener_;
  std::unique_ptr<ascend::AscendExecutor> executor_;
  std::unique_ptr<AgentSession> session_;
  std::jthread thread_;
};

struct Way {
  const char* name;
  LaneKind lane;
  bool overlap;
};

class ResidentOnAscendTest : public ::testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    AgentHubOptions options;
    options.lane = GetParam().lane;
    options.servable_name = "lm";
    options.rank_table.ranks.resize(1);
    options.address = "127.0.0.1:0";
    hub_ = *AgentHub::Create(options);
    agent_.emplace(hub_->address(), GetParam().overlap);
    const auto group = hub_->WaitReady(Deadline::After(kLimit));
    ASSERT_OK(group);
    Serve(*group);
  }
  void Serve(std::shared_ptr<Executor> executor) {
    ServableSpec spec = NegSpec();
    spec.name = "lm";
    spec.with_batch_dim = false;
    spec.methods[0].name = "step";
    spec.methods[0].input_names = {"state", "x"};
    spec.methods[0].graph.inputs = {{Phase::kInput, 0}, {Phase::kInput, 1}};
    spec.pipelines = {
        {"predict", {"x"}, {"y"}, PerInstance([this](const Instance& x) { return Loop(x[0]); })}};
    auto servable = Servable::Create(spec, std::move(executor));
    ASSERT_OK(servable);
    servable_ = *std::move(servable);
  }

  void Predict() {
    Answer answer;
    servable_->Submit("predict", {{Tensor::Of<float>({2}, {1, 10})}}, {}, answer.Done());
    ASSERT_TRUE(answer.answered.WaitForArrivals(1, kLimit));
    ASSERT_OK(answer.results.at(0));
    EXPECT_EQ(Floats(answer.results.at(0)->at(0)),
              (std::vector<float>{1 + kTurns, 10 * (1 + kTurns)}));
  }

  // The state after kTurns, which starts as `x`, and adds x in every turn.
  Result<Instance> Loop(const Tensor& x) {
    ResidentTensors state;
    for (int turn = 0; turn < kTurns; ++turn) {
      Tensor value = x;
      if (turn > 0) {
        PIPESERVE_ASSIGN_OR_RETURN(value, state[0]->Fetch());
      }
      if (turn == first_turn_of_epoch_) PIPESERVE_RETURN_IF_ERROR(BeginEpoch());
      const int before = Uploads();
      PIPESERVE_ASSIGN_OR_RETURN(auto results, servable_->RunAndKeep("step", {{value, x}}, state));
      PIPESERVE_ASSIGN_OR_RETURN(state, std::move(results[0]));
      uploads_.push_back(Uploads() - before);
    }
    PIPESERVE_ASSIGN_OR_RETURN(const Tensor last, state[0]->Fetch());
    return Instance{last};
  }
  // With the same device.
  Status BeginEpoch() {
    agent_->Disconnect();
    const Deadline deadline = Deadline::After(kLimit);
    while (hub_->ready() && !deadline.HasPassed()) std::this_thread::yield();
    EXPECT_FALSE(hub_->ready());
    agent_->Connect(hub_->address());
    return hub_->WaitReady(Deadline::After(kLimit)).status();
  }
  int Uploads() const { return std::stoi(runtime_.Command("copies to-device")); }

  ascend::SimulatedRuntime runtime_;
  std::unique_ptr<AgentHub> hub_;
  std::optional<AgentOnAscend> agent_;
  std::unique_ptr<Servable> servable_;
  int first_turn_of_epoch_ = -1;  // -1: all turns are in one.
  std::vector<int> uploads_;      // Of each turn.
};

TEST_P(ResidentOnAscendTest, EveryTurnButTheFirstCopiesNothingToTheDevice) {
  for (int request = 0; request < 2; ++request) {
    uploads_.clear();
    Predict();
    std::vector<int> wanted(kTurns, GetParam().lane == LaneKind::kShm ? 0 : 2);
    wanted[0] = uploads_[0];
    EXPECT_EQ(uploads_, wanted);
  }
  servable_->Stop();
}

// What the device had kept went with the epoch; the server has it, and x.
TEST_P(ResidentOnAscendTest, AHandleOfTheEpochBeforeIsCopiedOnce) {
  first_turn_of_epoch_ = 5;
  Predict();
  std::vector<int> wanted(kTurns, GetParam().lane == LaneKind::kShm ? 0 : 2);
  wanted[0] = uploads_[0];
  wanted[5] = 2;
  EXPECT_EQ(uploads_, wanted);
  servable_->Stop();
}

INSTANTIATE_TEST_SUITE_P(Ways, ResidentOnAscendTest,
                         testing::Values(Way{"OverSharedMemory", LaneKind::kShm, false},
                                         Way{"OverSharedMemoryWithOverlap", LaneKind::kShm, true},
                                         Way{"OverStreams", LaneKind::kGrpc, false},
                                         Way{"OverStreamsWithOverlap", LaneKind::kGrpc, true}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace pipeserve
