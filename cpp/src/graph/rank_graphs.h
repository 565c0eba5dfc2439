// The graphs of all ranks, built in lock-step: a node goes to every rank at once, so ids agree and
// only slices, weights and groups differ.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "graph/graph.h"
#include "graph/layout.h"
#include "graph/model_file.h"

namespace pipeserve {

// A value of the rank graphs and how it lies over them. `whole` describes all of it.
struct Placed {
  ValueId id = 0;
  TensorInfo whole;
  Layout layout;
};

class RankGraphs {
 public:
  RankGraphs(const std::string& name, int rank_size);

  Placed AddInput(const TensorInfo& info);
  // Cuts `tensor` at once; each rank gets its piece.
  Placed AddConstant(const TensorInfo& info, const Tensor& tensor, const Layout& layout);
  // One result for each info, all lying as `layout` says. `infos` describe whole values.
  std::vector<Placed> AddNode(const Node& node, const std::vector<ValueId>& inputs,
                              const std::vector<TensorInfo>& infos,
                              const std::vector<Layout>& layouts);
  // Sums over the ranks along `axis`.
  Placed AllReduce(const Placed& value, int axis);
  // Makes `value` lie as `layout` says: gathers what is cut otherwise, then slices.
  Placed Redistribute(const Placed& value, const Layout& layout);
  void AddOutput(const Placed& value);

  std::vector<Graph> TakeGraphs() { return std::move(graphs_); }
  std::vector<GroupMap> TakeGroups() { return std::move(groups_); }

 private:
  int64_t rank_size() const { return static_cast<int64_t>(graphs_.size()); }
  using AttributesOfRank = std::function<Attributes(int64_t rank)>;
  std::vector<ValueId> Emit(OpType op, std::string name, const std::vector<ValueId>& inputs,
                            const std::vector<TensorInfo>& locals,
                            const AttributesOfRank& attributes);
  std::string NewName(OpType op);
  std::string UniqueName(const std::string& wanted);
  AttributesOfRank GroupAlong(const Layout& layout, int axis);
  Placed Gather(const Placed& value, size_t dim);
  ValueId Slice(ValueId value, TensorInfo& local, const Layout& coarse, const Layout& fine,
                size_t dim);

  std::vector<Graph> graphs_;
  std::vector<GroupMap> groups_;
  std::set<std::string> names_;  // Of inputs and constants.
};

}  // namespace pipeserve
