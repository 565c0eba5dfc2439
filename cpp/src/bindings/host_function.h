// Python functions as host functions of the core.
#pragma once

#include <pybind11/pybind11.h>

#include <memory>
#include <string>

#include "bindings/types.h"
#include "pipeserve/servable.h"

namespace pipeserve::bindings {

namespace py = pybind11;

// Called once per instance with its values; returns one value, or a tuple or list of them.
std::shared_ptr<HostFunction> MakeInstanceFunction(AnyCallable function, std::string name,
                                                   int output_count);

// A generator function over the tuple of all instances; yields one result for each. An exception
// costs one instance, and the rest is tried again.
std::shared_ptr<HostFunction> MakeGeneratorFunction(AnyCallable function, std::string name,
                                                    int output_count);

}  // namespace pipeserve::bindings
