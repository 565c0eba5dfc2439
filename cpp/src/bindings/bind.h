// The parts of the module; each file binds one public header.
#pragma once

#include <pybind11/pybind11.h>

#include <chrono>

namespace pipeserve::bindings {

void BindServable(pybind11::module_& m);
void BindCallFuture(pybind11::module_& m);
void BindServer(pybind11::module_& m);
void BindWorkers(pybind11::module_& m);
void BindResidentTensor(pybind11::module_& m);
void BindAgent(pybind11::module_& m);
void BindClient(pybind11::module_& m);
void BindGraphBuilder(pybind11::module_& m);
void BindModel(pybind11::module_& m);
void BindHousekeeper(pybind11::module_& m);

// Waits are cut into steps of this length, so that Ctrl-C is seen between them.
inline constexpr std::chrono::milliseconds kWaitStep{100};

// Python counts in seconds. What is finer than the result is cut off.
template <typename Duration = std::chrono::nanoseconds>
Duration ToDuration(double seconds) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
}
inline std::chrono::milliseconds ToMilliseconds(double seconds) {
  return ToDuration<std::chrono::milliseconds>(seconds);
}

// Runs Python's signal handlers; raises what they raise.
inline void CheckSignals() {
  if (PyErr_CheckSignals() != 0) throw pybind11::error_already_set();
}

}  // namespace pipeserve::bindings
