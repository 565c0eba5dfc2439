// Runs graphs on the CPU with Eigen kernels.
#pragma once

#include <memory>
#include <vector>

#include "executor/communicator.h"
#include "executor/cpu/kernels.h"
#include "executor/rank_executor.h"

namespace pipeserve {

struct CpuExecutorOptions {
  int threads = 1;  // Threads of one graph call, at least 1.
  // Null outside a group; then a graph with collectives over more than one rank is refused.
  std::shared_ptr<Communicator> communicator;
  int rank_size = 1;  // Ranks of the servable; what a world group has.
  // Null: those of kernels::ChooseKernels().
  const kernels::KernelTable* kernels = nullptr;
};

// Plans the memory of every graph once: kernels, offsets and workspaces. A graph with unknown
// dimensions is planned again when a call brings shapes it has not seen (a few plans are kept).
// Calls of different threads run side by side, each in a workspace of its own; a graph with
// collectives is run by one thread at a time (the caller sees to the order among ranks).
class CpuExecutor final : public RankExecutor {
 public:
  // Errors: kInvalidArgument (see also kernels::ChooseKernels()), kUnimplemented (a data type that
  // an operator has no kernel for).
  static Result<std::unique_ptr<CpuExecutor>> Create(std::vector<Graph> graphs,
                                                     const CpuExecutorOptions& options = {});
  ~CpuExecutor() override;

  int graph_count() const override;
  const GraphSignature& signature(GraphId graph) const override;
  bool RunsAlone(GraphId graph) const override;
  Status Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
             std::vector<Tensor>* outputs) override;

  // Inputs of all calls so far that were copied because they did not start at a multiple of their
  // element size.
  int64_t copied_inputs() const;

  void LeaveGroup() override;
  // Never fails.
  Status JoinGroup(std::shared_ptr<Communicator> communicator, Deadline deadline,
                   const AnnounceCommunicator& announce) override;

 private:
  class Impl;
  explicit CpuExecutor(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace pipeserve
