// Cuts one graph into stages, and each of them into a shard per rank, as MindSpore's semi-automatic
// parallel mode does with full_batch: every rank of the first stage takes the whole inputs, every
// one of the last returns the whole outputs.
#pragma once

#include <map>
#include <vector>

#include "graph/graph.h"
#include "graph/model_file.h"

namespace pipeserve {

// One entry per operand of a node, one number per dimension: ((1,8),(8,1)) splits the first
// operand's columns and the second one's rows eight ways.
using Strategy = std::vector<std::vector<int64_t>>;

// Stage k has the k-th part of the ranks. What a stage needs of an earlier one is sent to each of
// its ranks by the counterpart.
struct Stages {
  int count = 1;
  std::vector<int> of_nodes = {};  // Indexed like graph.nodes.
  bool all_take_inputs = false;    // Else the first, which sends on what others need of them.
};

struct ShardedGraph {
  std::vector<Graph> ranks;
  std::vector<GroupMap> groups;  // The sub-groups that each rank belongs to; no world group.
};

// `strategies` is keyed by index into graph.nodes. A node without one follows its operands'
// layout; a MatMul with whole operands splits the batch (its first dimension) when that divides.
//
// Errors: kInvalidArgument (a strategy that does not fit its operands' ranks, does not divide a
// dimension or the ranks of a stage, contradicts itself, or is given to an operator that cannot be
// split; a stage that has no nodes, or needs what a later one computes; a value of unknown shape
// between stages).
Result<ShardedGraph> ShardGraph(const Graph& graph, const std::map<size_t, Strategy>& strategies,
                                int rank_size, const Stages& stages = {});

}  // namespace pipeserve
