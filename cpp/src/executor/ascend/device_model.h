// What an executor has loaded onto its device under one number: a graph, or a model that was
// compiled beforehand.
#pragma once

#include <memory>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "executor/ascend/om_model.h"
#include "executor/ascend/plan.h"
#include "executor/loaded_graph.h"
#include "executor/plan_cache.h"

namespace pipeserve::ascend {

// All but signature() and CheckInputs() on the device's thread.
class DeviceModel {
 public:
  virtual ~DeviceModel() = default;

  // Once it is loaded.
  virtual const GraphSignature& signature() const = 0;
  virtual Status CheckInputs(std::span<const Tensor> inputs) const = 0;

  // For `slots` calls at a time. `collectives` outlives it. Errors: those of Plan::Build() or
  // OmModel::Load().
  virtual Status Load(Device& device, const Collectives& collectives, size_t slots) = 0;
  // Takes everything off the device, loaded or not. Idempotent.
  virtual void Unload() = 0;

  // What runs these inputs, which fit, in one of the slots. Errors: those of Plan::Build().
  virtual Result<std::shared_ptr<Program>> Find(std::span<const Tensor> inputs, size_t slot) = 0;

  // The groups of ranks that it meets; see GroupRanks().
  virtual std::set<std::vector<int32_t>> groups() const { return {}; }
  // Whether all shapes are known, so that it can be run once before anybody asks.
  virtual bool is_static() const { return true; }
};

// `id` is for messages. Errors: those of LoadedGraph::Create().
Result<std::unique_ptr<DeviceModel>> MakeGraphModel(GraphId id, Graph graph,
                                                    const PlanOptions& options);
std::unique_ptr<DeviceModel> MakeOmFile(GraphId id, std::string file);

}  // namespace pipeserve::ascend
