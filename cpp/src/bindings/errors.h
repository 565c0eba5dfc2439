// Status and Result<T> as Python exceptions, and back. Everything here needs the GIL.
#pragma once

#include <pybind11/pybind11.h>

#include <utility>

#include "pipeserve/status.h"

namespace pipeserve::bindings {

namespace py = pybind11;

// Raises the exception class of the status' code.
[[noreturn]] void Raise(const Status& status);

inline void Unwrap(const Status& status) {
  if (!status.ok()) Raise(status);
}

template <typename T>
T Unwrap(Result<T> result) {
  if (!result.ok()) Raise(result.status());
  return *std::move(result);
}

// The status of an exception that the function called `name` raised: the code that it carries or
// kInternal, and its text. Python logs the traceback.
Status ToStatus(const py::error_already_set& error, const std::string& name);

}  // namespace pipeserve::bindings
