#include "bindings/method_host.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <span>
#include <utility>

#include "bindings/bind.h"
#include "bindings/errors.h"
#include "bindings/gil.h"
#include "bindings/housekeeper.h"

namespace pipeserve::bindings {
namespace {

py::object Returned(const CallFuture& future) {
  Housekeeper::Global().ReleaseWaiting();
  PendingCall& call = future.get();
  return future.keep ? ToReturned(call.kept(), future.list_form)
                     : ToReturned(call.result(), future.list_form);
}

// False at the timeout; none waits for ever.
bool Wait(const CallFuture& future, std::optional<double> timeout) {
  using Clock = std::chrono::steady_clock;
  PendingCall& call = future.get();
  const auto end = Clock::now() + ToDuration(timeout.value_or(0));
  while (true) {
    std::chrono::nanoseconds step = kWaitStep;
    if (timeout) step = std::clamp<std::chrono::nanoseconds>(end - Clock::now(), {}, step);
    const bool done = WithoutGil([&] { return call.WaitFor(step); });
    CheckSignals();
    if (done || (timeout && Clock::now() >= end)) return done;
  }
}

// In a worker each of these asks the front.
template <auto Function>
bool AskWithoutGil(const CallFuture& future) {
  PendingCall& call = future.get();
  return WithoutGil([&] { return (call.*Function)(); });
}

}  // namespace

CallFuture Submit(MethodHost& host, const std::string& servable, uint64_t version,
                  const std::string& method, const AnyTuple& args, bool keep) {
  Housekeeper::Global().ReleaseWaiting();
  const std::span items(&PyTuple_GET_ITEM(args.ptr(), 0), args.size());
  Arguments given = ToArguments(items);
  const auto submit = keep ? &MethodHost::SubmitAndKeep : &MethodHost::SubmitMethod;
  Result<std::shared_ptr<PendingCall>> call = WithoutGil([&] {
    return (host.*submit)(servable, version, method, std::move(given.instances),
                          std::move(given.residents));
  });
  Unwrap(call.status().WithContext("Run failed"));
  return {*std::move(call), IsListForm(items), keep};
}

void BindCallFuture(py::module_& m) {
  py::class_<CallFuture>(m, "CallFuture")
      .def("wait", &Wait, py::arg("timeout"))
      .def("returned", &Returned)
      .def("cancel", &AskWithoutGil<&PendingCall::Cancel>)
      .def_property_readonly("done", &AskWithoutGil<&PendingCall::done>)
      .def_property_readonly("running", &AskWithoutGil<&PendingCall::running>);
}

}  // namespace pipeserve::bindings
