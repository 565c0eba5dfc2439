// A state that goes round a graph fifty times, kept and copied: in this process, and with agents
// over either lane.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <optional>
#include <thread>

#include "agent/agent_hub.h"
#include "base/counters.h"
#include "scheduler/fakes.h"
#include "support/graphs.h"
#include "support/matchers.h"
#include "support/test_agent.h"

namespace pipeserve {
namespace {

constexpr int kTurns = 50;
constexpr int64_t kWidth = 64;
constexpr std::chrono::seconds kLimit{20};

Tensor Values(const Shape& shape, float scale) {
  Tensor tensor(DataType::kFloat32, shape);
  for (int64_t i = 0; i < shape.num_elements(); ++i) {
    tensor.mutable_data_as<float>()[i] = scale * static_cast<float>(i * 37 % 101 - 50);
  }
  return tensor;
}

// state -> the next state, and what is read of it.
std::vector<Graph> StepGraph() {
  TestGraph graph;
  const ValueId state = graph.Input({kWidth, kWidth});
  const ValueId turn = graph.Constant(Values({kWidth, kWidth}, 1e-3f));
  const ValueId reader = graph.Constant(Values({kWidth, 1}, 1));
  const ValueId next =
      graph.Node(OpType::kMatMul, {state, turn}, {kWidth, kWidth}, MatMulAttributes{});
  const ValueId read = graph.Node(OpType::kMatMul, {next, reader}, {kWidth, 1}, MatMulAttributes{});
  std::vector<Graph> graphs;
  graphs.push_back(graph.Return({next, read}));
  return graphs;
}

// Two agents, their hub, and the group that they form.
class Group {
 public:
  explicit Group(LaneKind lane) {
    AgentHubOptions options;
    options.lane = lane;
    options.servable_name = "lm";
    options.rank_table.ranks.resize(2);
    options.address = "127.0.0.1:0";
    hub_ = *AgentHub::Create(options);
    for (int rank = 0; rank < 2; ++rank) Start(rank);
  }

  std::shared_ptr<Executor> Ready() {
    const auto group = hub_->WaitReady(Deadline::After(kLimit));
    EXPECT_OK(group);
    return *group;
  }
  // Ends the epoch; in the next one every agent is another.
  void Replace() {
    for (auto& agent : agents_) agent.reset();
    const Deadline deadline = Deadline::After(kLimit);
    while (hub_->ready() && !deadline.HasPassed()) std::this_thread::yield();
    EXPECT_FALSE(hub_->ready());
    for (int rank = 0; rank < 2; ++rank) Start(rank);
    (void)Ready();
  }

 private:
  void Start(int rank) {
    agents_[static_cast<size_t>(rank)].emplace(hub_->address(), rank, StepGraph());
  }

  std::unique_ptr<AgentHub> hub_;
  std::array<std::optional<TestAgent>, 2> agents_;
};

// Where the graphs run.
struct Place {
  std::string name;
  std::optional<LaneKind> lane;  // None: in this process.

  friend std::ostream& operator<<(std::ostream& out, const Place& place) {
    return out << place.name;
  }
};

class ResidentTensorsTest : public ::testing::TestWithParam<Place> {
 protected:
  using Body = std::function<Result<Instance>(const Instance&)>;

  void SetUp() override {
    if (GetParam().lane.has_value()) {
      group_.emplace(*GetParam().lane);
      executor_ = group_->Ready();
    } else {
      executor_ = *CpuExecutor::Create(StepGraph());
    }
  }

  // Method "step" (state -> state, y), and a pipeline that is the body of the test.
  void Serve(Body body) {
    ServableSpec spec = NegSpec();
    spec.name = "lm";
    spec.with_batch_dim = false;
    spec.methods[0].name = "step";
    spec.methods[0].output_names = {"state", "y"};
    spec.methods[0].graph.output_count = 2;
    spec.methods[0].outputs = {{Phase::kPredict, 0}, {Phase::kPredict, 1}};
    spec.pipelines = {{"predict", {"x"}, {"y"}, PerInstance(std::move(body))}};
    auto servable = Servable::Create(spec, executor_);
    ASSERT_OK(servable);
    servable_ = *std::move(servable);
  }
  Result<Instance> Ask(const Tensor& x) {
    Answer answer;
    servable_->Submit("predict", {{x}}, {.account = account_}, answer.Done());
    EXPECT_TRUE(answer.answered.WaitForArrivals(1, kLimit));
    return answer.results.at(0);
  }

  Result<Instance> Run(const Tensor& state, const ResidentTensors& residents = {}) {
    PIPESERVE_ASSIGN_OR_RETURN(auto results, servable_->RunMethod("step", {{state}}, residents));
    return std::move(results[0]);
  }
  Result<ResidentTensors> Keep(const Tensor& state, const ResidentTensors& residents = {}) {
    PIPESERVE_ASSIGN_OR_RETURN(auto results, servable_->RunAndKeep("step", {{state}}, residents));
    return std::move(results[0]);
  }
  // The next turn, of a state that was kept.
  Result<ResidentTensors> Turn(const std::shared_ptr<const ResidentTensor>& state) {
    PIPESERVE_ASSIGN_OR_RETURN(const Tensor tensor, state->Fetch());
    return Keep(tensor, {state});
  }

  // What is read in every turn, as bytes: by copies of the state, or by what is kept of it.
  Result<std::string> Copying(const Tensor& x);
  Result<std::string> Keeping(const Tensor& x);

  std::optional<Group> group_;
  std::shared_ptr<Executor> executor_;
  const std::shared_ptr<ByteAccount> account_ = std::make_shared<ByteAccount>();
  std::unique_ptr<Servable> servable_;
};

std::string BytesOf(const Tensor& tensor) {
  return {static_cast<const char*>(tensor.data()), tensor.byte_size()};
}

Result<std::string> BytesOf(const std::shared_ptr<const ResidentTensor>& kept) {
  PIPESERVE_ASSIGN_OR_RETURN(const Tensor tensor, kept->Fetch());
  return BytesOf(tensor);
}

Result<std::string> ResidentTensorsTest::Copying(const Tensor& x) {
  std::string read;
  Tensor state = x;
  for (int turn = 0; turn < kTurns; ++turn) {
    PIPESERVE_ASSIGN_OR_RETURN(const Instance outputs, Run(state));
    state = Tensor(x.dtype(), x.shape(), Buffer::CopyOf(outputs[0].buffer().bytes()));
    read += BytesOf(outputs[1]);
  }
  return read + BytesOf(state);
}

Result<std::string> ResidentTensorsTest::Keeping(const Tensor& x) {
  std::string read;
  PIPESERVE_ASSIGN_OR_RETURN(ResidentTensors outputs, Keep(x));
  for (int turn = 1; turn <= kTurns; ++turn) {
    PIPESERVE_ASSIGN_OR_RETURN(const Tensor y, outputs[1]->Fetch());
    read += BytesOf(y);
    if (turn == kTurns) break;
    PIPESERVE_ASSIGN_OR_RETURN(outputs, Turn(outputs[0]));
  }
  PIPESERVE_ASSIGN_OR_RETURN(const Tensor state, outputs[0]->Fetch());
  return read + BytesOf(state);
}

TEST_P(ResidentTensorsTest, FiftyTurnsMoveOnlyTheFirstInputAndGiveTheBitsOfCopies) {
  Serve([&](const Instance& x) -> Result<Instance> {
    PIPESERVE_ASSIGN_OR_RETURN(const std::string copied, Copying(x[0]));
    // Of its own, so that its way to the ranks is not that of the first loop.
    const Tensor own(x[0].dtype(), x[0].shape(), Buffer::CopyOf(x[0].buffer().bytes()));
    const uint64_t before = Counters::Global().copied_bytes;
    PIPESERVE_ASSIGN_OR_RETURN(const std::string kept, Keeping(own));
    const uint64_t moved = Counters::Global().copied_bytes - before;
    EXPECT_TRUE(kept == copied);
    const auto lane = GetParam().lane;
    if (!lane.has_value()) {
      EXPECT_EQ(moved, 0u);
    } else if (*lane == LaneKind::kShm) {
      EXPECT_EQ(moved, own.byte_size());
    }
    return x;
  });
  EXPECT_OK(Ask(Values({kWidth, kWidth}, 0.1f)));
}

TEST_P(ResidentTensorsTest, MoreThanSharedMemoryHasRoomForIsKeptToo) {
  constexpr int kStates = 100;  // Of 16 KiB; the area for outputs has 1 MiB.
  Serve([&](const Instance& x) -> Result<Instance> {
    std::vector<ResidentTensors> kept;
    for (int i = 0; i < kStates; ++i) {
      PIPESERVE_ASSIGN_OR_RETURN(kept.emplace_back(), Keep(x[0]));
    }
    PIPESERVE_ASSIGN_OR_RETURN(const ResidentTensors first, Turn(kept.front()[0]));
    PIPESERVE_ASSIGN_OR_RETURN(const ResidentTensors last, Turn(kept.back()[0]));
    PIPESERVE_ASSIGN_OR_RETURN(const Tensor wanted, first[0]->Fetch());
    PIPESERVE_ASSIGN_OR_RETURN(const Tensor seen, last[0]->Fetch());
    EXPECT_TRUE(BytesOf(seen) == BytesOf(wanted));
    return x;
  });
  EXPECT_OK(Ask(Values({kWidth, kWidth}, 0.1f)));
}

TEST_P(ResidentTensorsTest, WhatAFunctionLeaksIsFreedWithItsRequest) {
  ResidentTensors leaked;
  Serve([&](const Instance& x) -> Result<Instance> {
    for (int i = 0; i < 3; ++i) {
      PIPESERVE_ASSIGN_OR_RETURN(const ResidentTensors outputs, Keep(x[0]));
      leaked.insert(leaked.end(), outputs.begin(), outputs.end());
    }
    EXPECT_GE(account_->live_bytes(), 4 * x[0].byte_size());
    return x;
  });
  EXPECT_OK(Ask(Values({kWidth, kWidth}, 0.1f)));
  servable_->Stop();
  EXPECT_EQ(account_->live_bytes(), 0u);
  EXPECT_ERROR(leaked.back()->Fetch(), kFailedPrecondition, "its request has ended");
}

TEST_P(ResidentTensorsTest, WhatARankThatLagsStillReadsIsFreedOnceItHasAnswered) {
  const Tensor x = Values({kWidth, kWidth}, 0.1f);
  ResidentTensors leaked;
  Serve([&](const Instance& instance) -> Result<Instance> {
    PIPESERVE_ASSIGN_OR_RETURN(leaked, Keep(instance[0]));
    for (int turn = 0; turn < 3; ++turn) {
      PIPESERVE_ASSIGN_OR_RETURN(const ResidentTensors next, Turn(leaked[0]));
      leaked.insert(leaked.begin(), next.begin(), next.end());
    }
    return instance;
  });
  EXPECT_OK(Ask(x));
  servable_->Stop();
  // The group lets a call go that all ranks have answered when it looks for room for another.
  const Deadline deadline = Deadline::After(kLimit);
  std::vector<Tensor> outputs;
  while (account_->live_bytes() > 0 && !deadline.HasPassed()) {
    ASSERT_OK(executor_->Run(0, std::span(&x, 1), {}, &outputs));
  }
  EXPECT_EQ(account_->live_bytes(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Everywhere, ResidentTensorsTest,
                         testing::Values(Place{"InThisProcess", std::nullopt},
                                         Place{"OverSharedMemory", LaneKind::kShm},
                                         Place{"OverStreams", LaneKind::kGrpc}),
                         [](const auto& info) { return info.param.name; });

using ResidentTensorsOfAgentsTest = ResidentTensorsTest;

TEST_P(ResidentTensorsOfAgentsTest, OutliveTheAgentsThatComputedThem) {
  Serve([&](const Instance& x) -> Result<Instance> {
    PIPESERVE_ASSIGN_OR_RETURN(const ResidentTensors kept, Keep(x[0]));
    PIPESERVE_ASSIGN_OR_RETURN(const std::string state, BytesOf(kept[0]));
    PIPESERVE_ASSIGN_OR_RETURN(const ResidentTensors turned, Turn(kept[0]));
    PIPESERVE_ASSIGN_OR_RETURN(const std::string next, BytesOf(turned[0]));
    EXPECT_FALSE(next == state);
    group_->Replace();
    // What others compute now does not take the place of what is kept.
    PIPESERVE_RETURN_IF_ERROR(Keep(Values({kWidth, kWidth}, 3)).status());
    PIPESERVE_ASSIGN_OR_RETURN(const ResidentTensors again, Turn(kept[0]));
    for (const auto& [handle, wanted] :
         {std::pair(kept[0], state), std::pair(turned[0], next), std::pair(again[0], next)}) {
      PIPESERVE_ASSIGN_OR_RETURN(const std::string bytes, BytesOf(handle));
      EXPECT_TRUE(bytes == wanted) << handle->ToString();
    }
    return x;
  });
  EXPECT_OK(Ask(Values({kWidth, kWidth}, 0.1f)));
}

INSTANTIATE_TEST_SUITE_P(WithAgents, ResidentTensorsOfAgentsTest,
                         testing::Values(Place{"OverSharedMemory", LaneKind::kShm},
                                         Place{"OverStreams", LaneKind::kGrpc}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace pipeserve
