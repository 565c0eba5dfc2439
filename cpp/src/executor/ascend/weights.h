// The constants of a graph, on the device for as long as the graph is loaded.
#pragma once

#include <map>

#include "executor/ascend/memory.h"
#include "executor/ascend/stream.h"
#include "executor/ascend/view.h"
#include "graph/graph.h"

namespace pipeserve::ascend {

class Weights {
 public:
  // Errors: kResourceExhausted, kUnimplemented (a data type), those of the runtime.
  static Result<Weights> Upload(Device& device, const Graph& graph);

  // A constant of the graph.
  const View& Of(ValueId id) const { return views_.at(id); }

 private:
  std::map<ValueId, View> views_;
  std::vector<DeviceBlock> blocks_;
};

}  // namespace pipeserve::ascend
