// A method of a loaded servable as something that Python calls.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "bindings/types.h"
#include "pipeserve/method_host.h"
#include "pipeserve/pending_call.h"

namespace pipeserve::bindings {

namespace py = pybind11;

// The only argument being a list, each of its items is an instance; else the arguments are one.
bool IsListForm(std::span<PyObject* const> args);

// What run() is given, for the core.
struct Arguments {
  std::vector<Instance> instances;
  ResidentTensors residents;  // Whose tensors are among the values.
};

// Raises for arguments that make no tensors, and when there are none.
Arguments ToArguments(std::span<PyObject* const> args);

// What run() returns for arguments in list form or as they are: arrays, or handles to what is kept.
// Raises the first error.
py::object ToReturned(const Result<PendingCall::Results>& results, bool list_form);
py::object ToReturned(const Result<PendingCall::KeptResults>& results, bool list_form);

// A callable that has `host` run the method with its arguments, and the request keep the outputs or
// not; it keeps `owner` alive, which is the host's. A function of C, as that is what costs a call
// least.
AnyCallable BindMethod(const py::object& owner, MethodHost& host, std::string servable,
                       uint64_t version, std::string method, bool keep);

}  // namespace pipeserve::bindings
