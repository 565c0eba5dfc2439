// One graph of the CPU executor with the plans it runs by.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "executor/cpu/plan.h"
#include "executor/loaded_graph.h"
#include "executor/plan_cache.h"

namespace pipeserve {

// Thread-safe. A graph without unknown dimensions has one plan, made at once. Any other is planned
// when a call brings input shapes that no plan is kept for.
class GraphRunner {
 public:
  // `id` is for messages. Errors: those of CpuExecutor::Create.
  static Result<std::unique_ptr<GraphRunner>> Create(GraphId id, Graph graph,
                                                     const PlanOptions& options);

  const GraphSignature& signature() const { return loaded_.signature(); }
  // Whether a run needs a communicator.
  bool meets_others() const { return loaded_.meets_others(); }
  bool has_messages() const { return loaded_.has_messages(); }
  // Inputs that came where no kernel may read them and were copied.
  int64_t copied_inputs() const { return copied_inputs_.load(std::memory_order_relaxed); }

  // Errors: those of Executor::Run.
  Status Run(std::span<const Tensor> inputs, const PlanCall& call, std::vector<Tensor>* outputs);

 private:
  GraphRunner(LoadedGraph loaded, const PlanOptions& options)
      : loaded_(std::move(loaded)), options_(options) {}

  Result<std::shared_ptr<Plan>> PlanFor(std::span<const Tensor> inputs);

  const LoadedGraph loaded_;
  const PlanOptions options_;
  std::shared_ptr<Plan> static_plan_;  // Null when a dimension is unknown.
  PlanCache<Plan> plans_;
  std::atomic<int64_t> copied_inputs_{0};
};

}  // namespace pipeserve
