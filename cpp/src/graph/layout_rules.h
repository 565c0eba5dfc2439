// Which layouts an operator works on: what its operands must be cut like for the ranks to compute
// their pieces alone, and how the result then lies.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "graph/graph.h"
#include "graph/layout.h"
#include "graph/sharding.h"

namespace pipeserve {

struct NodeLayouts {
  std::vector<Layout> operands;
  Layout result;
  // Set when each rank's result is only a part of a sum over the ranks along this device axis.
  std::optional<int> reduce_axis;
};

// One node to be cut, with what is known of its operands.
struct NodeOperands {
  const Node* node = nullptr;
  std::vector<Shape> shapes;
  Shape result;
  // How each operand lies already; null for a constant, which can be cut anyhow.
  std::vector<const Layout*> layouts;
};

// Whether pieces of this operator's results can be computed from pieces of its operands.
bool CanBeCut(OpType op);

// The layouts that a strategy asks for. Errors: kInvalidArgument (see ShardGraph).
Result<NodeLayouts> LayoutsByStrategy(const NodeOperands& operands, const Strategy& strategy,
                                      int64_t rank_size);

// The layouts that come closest to how the operands lie; for a MatMul of whole operands the batch
// is split. The operator must be one that can be cut.
NodeLayouts LayoutsByOperands(const NodeOperands& operands, int64_t rank_size);

}  // namespace pipeserve
