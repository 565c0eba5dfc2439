// Meetings of ranks that a graph can do without.
#pragma once

#include "graph/graph.h"

namespace pipeserve {

// MindSpore lays out each operator on its own, so its exports hold passages such as
//
//   MatMul -> AllReduce -> StridedSlice (this rank's rows) -> Neg -> AllGather
//
// in which all ranks hold the whole tensor already. Here the rank does the elementwise operators
// (Neg, ReLU) to all of it and the AllGather goes, together with the slice: to meet the others
// costs far more. The results are the same bit by bit.
//
// `rank` is the one whose file `graph` is. Only a slice that is exactly this rank's part of what
// the AllGather joins is taken out, and only where the whole comes from a collective of the same
// ranks; the files of one export agree on that, so all ranks leave out the same meetings.
void DropNeedlessGathers(int rank, int rank_size, Graph* graph);

}  // namespace pipeserve
