// Makes a Plan: decides where values lie on the device and which operators compute them. What only
// moves elements (Reshape, Transpose, Split, StridedSlice) becomes another view of the same memory.
#pragma once

#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "executor/ascend/operators.h"
#include "executor/ascend/plan.h"
#include "executor/cpu/workspace_layout.h"

namespace pipeserve::ascend {

// Used once, by Plan::Build.
class PlanBuilder {
 public:
  PlanBuilder(Device& device, const Graph& graph, std::span<const TensorInfo> infos,
              const Weights& weights, const Collectives& collectives, const PlanOptions& options,
              Plan* plan);
  Status Build();

 private:
  // A view of the arena, whose address is not known before its size is, or of a weight.
  struct Place {
    View view;
    bool in_arena = false;  // Then view.data is what it is from the arena's begin on.
    size_t begin = 0;
  };
  // A step that is made when the arena is there.
  using MakeStep = std::function<StepResult(std::span<const View>)>;
  struct Pending {
    std::vector<Place> operands;
    MakeStep make;
  };
  struct Range {
    size_t begin, bytes;
  };

  Status CheckSizes() const;
  // Values that may share memory have one root: the value that they are all views of.
  void FindRoots();
  void FindLastUses();
  Status PlaceInputsAndWeights();
  Status AddNodes();
  Status AddNode(const Node& node);
  Status AddMatMul(const Node& node);
  Status AddBiasAdd(const Node& node);
  Status AddReduceSum(const Node& node);
  Status AddReshape(const Node& node);
  Status AddConcat(const Node& node);
  Status AddSplit(const Node& node);
  Status AddSlice(const Node& node);
  Status AddCollective(const Node& node);
  Status AddOutputs();
  void Release(size_t node_index);
  Status MakeSteps();

  // New memory for `id`, which is freed with the last use of its root.
  const Place& PlaceNew(ValueId id);
  Place NewPlace(ValueId root_of, const TensorInfo& info);
  // `place` itself, or a copy of it row after row.
  Result<Place> Whole(ValueId id, const Place& place);
  void Add(std::vector<Place> operands, MakeStep make);

  const TensorInfo& Info(ValueId id) const { return infos_[static_cast<size_t>(id)]; }
  Place& PlaceOf(ValueId id) { return places_[static_cast<size_t>(id)]; }
  size_t RootOf(ValueId id) const { return roots_[static_cast<size_t>(id)]; }

  static constexpr size_t kNever = std::numeric_limits<size_t>::max();

  Device& device_;
  const Graph& graph_;
  const std::span<const TensorInfo> infos_;
  const Weights& weights_;
  const Collectives& collectives_;
  const PlanOptions options_;
  Plan* const plan_;

  WorkspaceLayout layout_;
  std::vector<Place> places_;               // Indexed by ValueId.
  std::vector<size_t> roots_;               // Indexed by ValueId.
  std::vector<size_t> last_uses_;           // Of a root: the index of a node, or kNever.
  std::vector<std::vector<Range>> ranges_;  // Of a root.
  std::vector<Pending> pending_;
  std::vector<Place> input_places_, output_places_;
};

}  // namespace pipeserve::ascend
