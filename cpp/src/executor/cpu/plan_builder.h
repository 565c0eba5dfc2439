// Makes a Plan: decides where values lie and binds the kernels.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "executor/cpu/fusion.h"
#include "executor/cpu/plan.h"
#include "executor/cpu/workspace_layout.h"

namespace pipeserve {

// Used once, by Plan::Build.
class PlanBuilder {
 public:
  PlanBuilder(const Graph& graph, std::span<const TensorInfo> infos, const PlanOptions& options,
              Plan* plan);
  Status Build();

 private:
  // Bytes that several values share. A Reshape's result has the storage of its operand.
  struct Storage {
    bool placed = false;
    Location location;
    size_t bytes = 0;
    size_t last_use = 0;  // Index of the last step that writes or reads it.
  };

  Status CheckSizes() const;
  void FindStorages();
  void PlaceInputsAndConstants();
  void PlaceOutputs();
  void FindLastUses();
  Status AddSteps();
  Status AddStep(const StepNodes& nodes);
  void AddOperand(ValueId id, StepContext* context);
  void Add(std::unique_ptr<Step> step, std::string name);
  void AddOutputCopies();

  bool IsAlias(const Node& node) const;
  Storage& StorageOf(ValueId id) { return storages_[storage_of_[static_cast<size_t>(id)]]; }
  const TensorInfo& Info(ValueId id) const { return infos_[static_cast<size_t>(id)]; }
  void Release(std::span<const ValueId> ids, size_t step_index);

  const Graph& graph_;
  const std::span<const TensorInfo> infos_;
  const PlanOptions options_;
  Plan* const plan_;
  const std::vector<StepNodes> order_;  // Nodes that are no steps, see IsAlias(), included.
  WorkspaceLayout layout_;
  std::vector<size_t> storage_of_;  // Indexed by ValueId.
  std::vector<Storage> storages_;   // Indexed by the first value that has it.
  std::vector<size_t> copied_outputs_;
};

}  // namespace pipeserve
