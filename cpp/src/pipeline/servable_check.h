// What must hold before a servable may run: its names, and the data flow of its methods.
#pragma once

#include <span>

#include "graph/graph.h"
#include "pipeserve/servable.h"

namespace pipeserve {

// Holds `spec` against the graphs it is to run on, `graphs[k]` being subgraph k. After success
// every DataSource of a method names a value that exists and that an earlier phase has made, and
// every graph step has as many inputs and outputs as its graph.
//
// Errors: kInvalidArgument, in the original's words where it had some.
Status CheckServable(const ServableSpec& spec, std::span<const GraphSignature> graphs);

}  // namespace pipeserve
