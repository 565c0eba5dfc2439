// Whether the graphs and the devices of a servable's agents fit together.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "executor/device_traits.h"
#include "graph/graph.h"
#include "pipeserve/status.h"

namespace pipeserve {

// What one agent says about itself: the signatures of its graphs, indexed by subgraph. None:
// the agent has not registered.
using AgentGraphs = std::vector<GraphSignature>;

struct GroupShape {
  int rank_size = 1;
  int stage_size = 1;
  bool with_batch_dim = false;
  std::vector<int> without_batch_dim_inputs;  // Indices of graph inputs.

  int ranks_per_stage() const { return rank_size / stage_size; }
  int StageOf(int rank) const { return rank / ranks_per_stage(); }
};

// Holds the agents that have registered, indexed by rank, against each other. Without some of
// them only what the present ones contradict is an error, so an agent can be judged when it comes.
//
// Errors: kFailedPrecondition, in the original's words.
Status CheckGroup(const GroupShape& shape, const std::vector<AgentGraphs>& agents);

// The device of each rank; none for an agent that has not registered.
using AgentDevices = std::vector<std::optional<DeviceTraits>>;

// Whether all of them are of one kind and compute alike: ranks on devices of different kinds cannot
// meet, and ranks that round differently give results that nobody asked for.
// Errors: kFailedPrecondition, naming two ranks that differ.
Status CheckDevices(const AgentDevices& devices);

// Whether the ranks of every stage take the inputs, or only those of stage 0.
bool AllStagesTakeInputs(const GroupShape& shape, const std::vector<AgentGraphs>& agents);

// The batch size that a graph's inputs and outputs share: 1 without batch dimension, 0 when they
// do not say (none there, or an unknown dimension).
// Errors: kFailedPrecondition, in the original's words.
Result<int64_t> BatchSizeOf(const GroupShape& shape, const GraphSignature& graph);

}  // namespace pipeserve
