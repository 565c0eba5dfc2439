#include "agent/agent_session.h"

#include <memory>
#include <optional>
#include <thread>

#include "agent/agent_hub.h"
#include "executor/join_collectives.h"
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
    outputs->assign(inputs.begin(), inputs.end());
    return OkStatus();
  }

  const CallContext& context() const { return context_; }  // Between calls.

 private:
  const GraphSignature signature_{.inputs = {{"x", DataType::kFloat32, {2}}},
                                  .outputs = {{"y", DataType::kFloat32, {2}}}};
  CallContext context_;
};

// A session on a thread, which joins its peers only when `may_join` lets it.
class EchoAgent {
 public:
  EchoAgent(
      const std::string& server, int rank,
      std::function<Status()> may_join = [] { return OkStatus(); })
      : session_({.server = server,
                  .rank = rank,
                  .peer_address = listener_.address(),
                  .executor = &executor_,
                  .join_peers =
                      [=, this](const GroupEpoch& epoch, std::span<const std::string> peers,
                                const WaitLimit& limit) -> Result<std::shared_ptr<Communicator>> {
                    PIPESERVE_RETURN_IF_ERROR(may_join());
                    return JoinCollectives(listener_, rank, peers, epoch, limit);
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

std::unique_ptr<AgentHub> OpenHub(int ranks) {
  AgentHubOptions options;
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

}  // namespace
}  // namespace pipeserve
