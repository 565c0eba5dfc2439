// One graph of the CPU executor with the plans it runs by.
#pragma once

#include <atomic>
#include <memory>
#include <span>
#include <vector>

#include "base/mutex.h"
#include "executor/cpu/plan.h"
#include "executor/executor.h"

namespace pipeserve {

// Thread-safe. A graph without unknown dimensions has one plan, made at once. Any other is planned
// when a call brings input shapes it has no plan for; the kKeptPlans used last are kept.
class GraphRunner {
 public:
  static constexpr size_t kKeptPlans = 8;

  // `id` is for messages. Errors: those of CpuExecutor::Create.
  static Result<std::unique_ptr<GraphRunner>> Create(GraphId id, Graph graph,
                                                     const PlanOptions& options);

  const GraphSignature& signature() const { return signature_; }
  // Whether a run needs a communicator.
  bool has_collectives() const { return has_collectives_; }
  // Inputs that came where no kernel may read them and were copied.
  int64_t copied_inputs() const { return copied_inputs_.load(std::memory_order_relaxed); }

  // Errors: those of Executor::Run.
  Status Run(std::span<const Tensor> inputs, const PlanCall& call, std::vector<Tensor>* outputs);

 private:
  GraphRunner(GraphId id, Graph graph, const PlanOptions& options);

  struct CachedPlan {
    std::vector<Shape> inputs;
    std::shared_ptr<Plan> plan;
  };

  Status Check(std::span<const TensorInfo> infos);
  Result<std::shared_ptr<Plan>> PlanFor(std::span<const Tensor> inputs) EXCLUDES(mutex_);
  std::shared_ptr<Plan> FindPlan(std::span<const Tensor> inputs) EXCLUDES(mutex_);
  Result<std::shared_ptr<Plan>> MakePlan(std::span<const Tensor> inputs) const;
  void Keep(CachedPlan entry) EXCLUDES(mutex_);

  const GraphId id_;
  const Graph graph_;
  const PlanOptions options_;
  GraphSignature signature_;
  bool has_collectives_ = false;
  std::shared_ptr<Plan> static_plan_;  // Null when a dimension is unknown.
  std::atomic<int64_t> copied_inputs_{0};

  Mutex mutex_;
  std::vector<CachedPlan> plans_ GUARDED_BY(mutex_);  // The one used last comes first.
};

}  // namespace pipeserve
