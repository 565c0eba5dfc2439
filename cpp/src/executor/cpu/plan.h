// A graph made ready to run for one set of input shapes: kernels in order, and where every value
// lies.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "executor/cpu/step.h"
#include "graph/graph.h"

namespace pipeserve {

struct PlanOptions {
  const kernels::KernelTable* kernels = nullptr;  // Never null in Build().
  int threads = 1;
  int rank_size = 1;
};

// What a run needs besides its tensors.
struct PlanCall {
  ThreadTeam* team = nullptr;
  Communicator* communicator = nullptr;
  Deadline deadline;
  // As of CallContext.
  std::span<const Buffer> places = {};
  bool outputs_wanted = true;
};

// Immutable but for its free workspaces; thread-safe. Constants are read where the graph keeps
// them, so the graph must outlive the plan.
class Plan {
 public:
  // `infos` are those of graph.values, without unknown dimensions.
  //
  // Errors: kResourceExhausted (a value too large for any memory), kInvalidArgument,
  // kUnimplemented.
  static Result<std::unique_ptr<Plan>> Build(const Graph& graph, std::span<const TensorInfo> infos,
                                             const PlanOptions& options);

  // `inputs` have the byte sizes of the infos. `outputs` is replaced on success, untouched on
  // failure. Nothing is allocated once as many calls have run side by side before and the tensors
  // that leave come back to the buffer pool.
  //
  // Errors: kResourceExhausted (no memory), and those of the communicator.
  Status Run(std::span<const Tensor> inputs, const PlanCall& call, std::vector<Tensor>* outputs);

  // What runs, in order: the names of operators, joined by "+" where one pass does several.
  const std::vector<std::string>& step_names() const { return step_names_; }

  // Of the values that are neither inputs, outputs nor constants, and of the kernels.
  size_t workspace_bytes() const { return workspace_bytes_; }

 private:
  friend class PlanBuilder;

  struct Workspace {
    Buffer bytes;
    std::vector<Tensor> outputs;
  };

  Plan() = default;
  Result<std::unique_ptr<Workspace>> TakeWorkspace(std::span<const Buffer> places) EXCLUDES(mutex_);
  Tensor MakeOutput(size_t index, std::span<const Buffer> places) const;
  void GiveBack(std::unique_ptr<Workspace> workspace) EXCLUDES(mutex_);
  Status RunSteps(const Frame& frame) const;
  Status RunForOthers(const Frame& frame) const;

  std::vector<std::unique_ptr<Step>> steps_;
  std::vector<std::string> step_names_;
  // How many first steps there are up to the last collective or message: one that is not received
  // would be taken for the next call's.
  size_t steps_for_others_ = 0;
  std::vector<TensorInfo> outputs_;
  size_t workspace_bytes_ = 0;

  Mutex mutex_;
  size_t workspaces_ GUARDED_BY(mutex_) = 0;  // That exist, free or in use.
  std::vector<std::unique_ptr<Workspace>> free_ GUARDED_BY(mutex_);
};

}  // namespace pipeserve
