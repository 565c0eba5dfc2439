// A group of agents keeps the promises of every executor.
#include "agent/agent_hub.h"
#include "executor/executor_contract.h"
#include "support/test_agent.h"

namespace pipeserve {
namespace {

// Two agents, their hub, and the group that they form.
class WholeGroup final : public Executor {
 public:
  template <LaneKind kLane>
  static Result<std::unique_ptr<Executor>> Make(std::vector<Graph> graphs) {
    AgentHubOptions options;
    options.lane = kLane;
    options.servable_name = "contract";
    options.rank_table.ranks.resize(2);
    options.address = "127.0.0.1:0";
    auto whole = std::make_unique<WholeGroup>();
    PIPESERVE_ASSIGN_OR_RETURN(whole->hub_, AgentHub::Create(options));
    for (int rank = 0; rank < 2; ++rank) {
      whole->agents_.push_back(std::make_unique<TestAgent>(whole->hub_->address(), rank, graphs));
    }
    PIPESERVE_ASSIGN_OR_RETURN(whole->group_,
                               whole->hub_->WaitReady(Deadline::After(std::chrono::seconds(30))));
    return std::unique_ptr<Executor>(std::move(whole));
  }

  int graph_count() const override { return group_->graph_count(); }
  const GraphSignature& signature(GraphId graph) const override { return group_->signature(graph); }
  Status Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
             std::vector<Tensor>* outputs) override {
    return group_->Run(graph, inputs, context, outputs);
  }

 private:
  std::unique_ptr<AgentHub> hub_;
  std::vector<std::unique_ptr<TestAgent>> agents_;
  std::shared_ptr<Executor> group_;
};

INSTANTIATE_TEST_SUITE_P(
    RemoteGroup, ExecutorContractTest,
    testing::Values(ExecutorFactory{"OverStreams", WholeGroup::Make<LaneKind::kGrpc>},
                    ExecutorFactory{"OverSharedMemory", WholeGroup::Make<LaneKind::kShm>}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace pipeserve
