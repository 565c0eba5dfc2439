// The graphs of all ranks of a stage, built in lock-step: a node goes to every rank at once, so ids
// agree and only slices, weights and groups differ.
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
  // `stage` of `stages`, each of which has `rank_size` ranks.
  RankGraphs(const std::string& name, int rank_size, int stage = 0, int stages = 1);

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
  // Every rank sends what it holds of `value` to its counterpart in the stage of `receivers`, where
  // it lies alike. `tag` tells messages apart.
  Placed SendTo(RankGraphs& receivers, const Placed& value, int64_t tag);
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
  CollectiveAttributes GroupOf(int64_t rank, std::vector<int32_t> ranks);
  int32_t GlobalRank(int64_t rank, int stage) const {
    return static_cast<int32_t>(rank + stage * rank_size());
  }
  Attributes MessageWith(int stage, int64_t rank, const MessageAttributes& message);
  Placed Gather(const Placed& value, size_t dim);
  ValueId Slice(ValueId value, TensorInfo& local, const Layout& coarse, const Layout& fine,
                size_t dim);

  const int stage_, stages_;
  std::vector<Graph> graphs_;
  std::vector<GroupMap> groups_;
  std::set<std::string> names_;  // Of inputs and constants.
};

}  // namespace pipeserve
