// Two stages, one rank each, as a group of agents.
#include <array>
#include <future>
#include <memory>
#include <thread>

#include "agent/agent_hub.h"
#include "agent/agent_session.h"
#include "base/mutex.h"
#include "base/str_cat.h"
#include "executor/cpu/cpu_executor.h"
#include "executor/join_collectives.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

// Large enough that no kernel buffers it.
constexpr int64_t kWidth = 4'000'000;

Deadline Soon() { return Deadline::After(std::chrono::seconds(30)); }

// Counts the calls of an executor, and holds them up until they are let through.
class Gate final : public Executor {
 public:
  explicit Gate(Executor* behind) : behind_(*behind) {}

  int graph_count() const override { return behind_.graph_count(); }
  const GraphSignature& signature(GraphId graph) const override { return behind_.signature(graph); }
  Status Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
             std::vector<Tensor>* outputs) override {
    {
      MutexLock lock(mutex_);
      while (closed_) {
        if (!changed_.WaitUntil(mutex_, Soon()) && closed_)
          return Internal("the gate stayed closed");
      }
    }
    const Status status = behind_.Run(graph, inputs, context, outputs);
    {
      MutexLock lock(mutex_);
      ++finished_;
    }
    changed_.NotifyAll();
    return status;
  }

  void Close() {
    MutexLock lock(mutex_);
    closed_ = true;
  }
  void Open() {
    {
      MutexLock lock(mutex_);
      closed_ = false;
    }
    changed_.NotifyAll();
  }
  int finished() {
    MutexLock lock(mutex_);
    return finished_;
  }
  // False when the calls did not finish in time.
  bool AwaitFinished(int count) {
    const Deadline deadline = Soon();
    MutexLock lock(mutex_);
    while (finished_ < count) {
      if (!changed_.WaitUntil(mutex_, deadline) && finished_ < count) return false;
    }
    return true;
  }

 private:
  Executor& behind_;
  Mutex mutex_;
  CondVar changed_;
  bool closed_ GUARDED_BY(mutex_) = false;
  int finished_ GUARDED_BY(mutex_) = 0;
};

// Rank 0 sends -x, rank 1 returns the same again.
Graph StageGraph(int rank) {
  Graph graph;
  graph.name = "staged";
  MessageAttributes message;
  message.peer = 1 - rank;
  message.group.group = "hccl_world_group";
  const ValueId in = graph.AddValue({"in", DataType::kFloat32, {kWidth}});
  const ValueId out = graph.AddValue({"out", DataType::kFloat32, {kWidth}});
  const Node negate{OpType::kNeg, "negate", {in}, {out}, {}};
  if (rank == 0) {
    graph.inputs = {in};
    graph.nodes = {negate, {OpType::kSend, "send", {out}, {}, message}};
  } else {
    message.dtype = DataType::kFloat32;
    message.shape = {kWidth};
    graph.nodes = {{OpType::kReceive, "receive", {}, {in}, message}, negate};
    graph.outputs = {out};
  }
  return graph;
}

class StageAgent {
 public:
  StageAgent(const std::string& server, int rank, Collectives way)
      : listener_(*SocketListener::Open("127.0.0.1:0")),
        executor_(*CpuExecutor::Create(GraphsOf(rank), {1, nullptr, 2})),
        gate_(executor_.get()),
        session_(
            {.server = server,
             .rank = rank,
             .peer_address = listener_.address(),
             .executor = &gate_,
             .join_peers =
                 [this, rank, way](const GroupEpoch& epoch, std::span<const std::string> peers,
                                   const WaitLimit& limit, const AnnounceCommunicator& announce) {
                   auto joined = JoinCollectives(listener_, rank, peers, epoch, limit, way);
                   if (!joined.ok()) return joined.status();
                   return executor_->JoinGroup(*joined, limit.deadline, announce);
                 },
             .on_connected = {},
             .server_limit = std::chrono::seconds(10)}),
        thread_([this] { (void)session_.Run(); }) {}
  ~StageAgent() {
    gate_.Open();
    session_.Stop("the test is over");
  }

  Gate& gate() { return gate_; }

 private:
  static std::vector<Graph> GraphsOf(int rank) {
    std::vector<Graph> graphs;
    graphs.push_back(StageGraph(rank));
    return graphs;
  }

  SocketListener listener_;
  std::unique_ptr<CpuExecutor> executor_;
  Gate gate_;
  AgentSession session_;
  std::jthread thread_;
};

class AgentStagesTest : public ::testing::TestWithParam<Collectives> {
 protected:
  void SetUp() override {
    AgentHubOptions options;
    options.servable_name = "staged";
    options.stage_size = 2;
    options.rank_table.ranks.resize(2, {"127.0.0.1", 0});
    options.address = "127.0.0.1:0";
    options.call_timeout = std::chrono::seconds(30);
    auto hub = AgentHub::Create(options);
    ASSERT_OK(hub);
    hub_ = *std::move(hub);
    for (int rank = 0; rank < 2; ++rank) {
      agents_[rank] = std::make_unique<StageAgent>(hub_->address(), rank, GetParam());
    }
    auto executor = hub_->WaitReady(Soon());
    ASSERT_OK(executor);
    executor_ = *executor;
  }
  void TearDown() override {
    executor_.reset();
    for (auto& agent : agents_) agent.reset();
  }

  Result<float> Ask(float value) {
    Tensor x(DataType::kFloat32, {kWidth});
    std::fill_n(x.mutable_data_as<float>(), kWidth, value);
    std::vector<Tensor> outputs;
    PIPESERVE_RETURN_IF_ERROR(executor_->Run(0, std::span(&x, 1), {.deadline = Soon()}, &outputs));
    return outputs.at(0).data_as<float>()[kWidth - 1];
  }

  std::unique_ptr<AgentHub> hub_;
  std::array<std::unique_ptr<StageAgent>, 2> agents_;
  std::shared_ptr<Executor> executor_;
};

INSTANTIATE_TEST_SUITE_P(Ways, AgentStagesTest,
                         ::testing::Values(Collectives::kSharedMemory, Collectives::kSockets),
                         [](const auto& info) {
                           return info.param == Collectives::kSockets ? "Sockets" : "Shm";
                         });

TEST_P(AgentStagesTest, TheFirstStageTakesTheNextCallsWhileTheLastIsBusy) {
  agents_[1]->gate().Close();
  constexpr int kCalls = 3;
  std::vector<std::future<Result<float>>> calls;
  for (int i = 0; i < kCalls; ++i) {
    calls.push_back(
        std::async(std::launch::async, [this, i] { return Ask(static_cast<float>(i)); }));
  }
  EXPECT_TRUE(agents_[0]->gate().AwaitFinished(kCalls));
  EXPECT_EQ(agents_[1]->gate().finished(), 0);
  agents_[1]->gate().Open();
  for (int i = 0; i < kCalls; ++i) {
    const Result<float> answer = calls[i].get();
    ASSERT_OK(answer);
    EXPECT_EQ(*answer, static_cast<float>(i));
  }
}

}  // namespace
}  // namespace pipeserve
