// What Python sees of a method host, which is a server or a worker's session.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <string>

#include "bindings/bound_method.h"
#include "bindings/process.h"
#include "bindings/types.h"
#include "pipeserve/method_host.h"

namespace pipeserve::bindings {

namespace py = pybind11;

// A pending call as Python sees it. Python keeps the last reference, and drops it without the GIL.
struct CallFuture {
  std::shared_ptr<PendingCall> call;
  bool list_form = false;
  bool keep = false;
  Birthplace birthplace{};

  // Raises in a forked process, where nothing of the call goes on.
  PendingCall& get() const {
    birthplace.Check("CallFuture");
    return *call;
  }
};

CallFuture Submit(MethodHost& host, const std::string& servable, uint64_t version,
                  const std::string& method, const AnyTuple& args, bool keep);

// The methods by which pipeline functions run the servable's.
template <typename Host>
void BindMethodHost(py::class_<OfProcess<Host>>& bound) {
  bound
      .def(
          "method",
          [](const py::object& self, std::string servable, uint64_t version, std::string method,
             bool keep) {
            MethodHost& host = self.cast<const OfProcess<Host>&>().get();
            return BindMethod(self, host, std::move(servable), version, std::move(method), keep);
          },
          py::arg("servable"), py::arg("version"), py::arg("method"), py::arg("keep"))
      .def(
          "submit",
          [](const OfProcess<Host>& self, const std::string& servable, uint64_t version,
             const std::string& method, const AnyTuple& args,
             bool keep) { return Submit(self.get(), servable, version, method, args, keep); },
          py::arg("servable"), py::arg("version"), py::arg("method"), py::arg("args"),
          py::arg("keep"));
}

}  // namespace pipeserve::bindings
