// Status and Result<T> as Python exceptions, and back. Everything here needs the GIL.
#pragma once

#include <pybind11/pybind11.h>

#include <string>
#include <utility>

#include "pipeserve/status.h"

namespace pipeserve::bindings {

namespace py = pybind11;

// While it lives, what functions of Python raise on this thread explains the errors that are raised
// here, instead of being logged. Made and destroyed with the GIL; scopes nest.
class RaisedHere {
 public:
  RaisedHere();
  ~RaisedHere();
  RaisedHere(const RaisedHere&) = delete;
  RaisedHere& operator=(const RaisedHere&) = delete;

  // That of the innermost scope of this thread; null outside of every scope.
  static RaisedHere* Current();

  // Keeps the first exception, which a status describes with `text`.
  void Keep(py::object exception, std::string text);
  // What was raised, if that is what the status says; else nothing.
  py::object Explain(const Status& status) const;

 private:
  RaisedHere* const outer_;
  py::object exception_;
  std::string text_;
};

// Raises the exception class of the status' code, with what RaisedHere knows as its cause. What was
// raised but is no Exception (KeyboardInterrupt, SystemExit) is raised itself.
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
// kInternal, and its text. Python logs the traceback, unless RaisedHere keeps it.
Status ToStatus(const py::error_already_set& error, const std::string& name);

}  // namespace pipeserve::bindings
