// The extension module pipeserve_native._core.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>

#include "bindings/bind.h"
#include "bindings/gil.h"
#include "bindings/housekeeper.h"
#include "bindings/process.h"
#include "bindings/types.h"
#include "pipeserve/counters.h"
#include "pipeserve/log.h"

namespace pipeserve::bindings {
namespace {

// Records as (level, text), and the number of those that were lost.
using LogRecords = py::typing::Tuple<py::typing::List<py::typing::Tuple<int, py::str>>, int>;

// Waits for log records and hands them out as (level, text), with the number of lost ones; None
// when there will be no more.
std::optional<LogRecords> TakeLogRecords() {
  const Housekeeper::Work work = WithoutGil([] { return Housekeeper::Global().Take(); });
  Housekeeper::Global().ReleaseWaiting();
  if (work.closed && work.records.empty()) return std::nullopt;
  py::list records;
  for (const LogRecord& record : work.records) {
    records.append(py::make_tuple(static_cast<int>(record.level), record.text));
  }
  return py::make_tuple(records, work.dropped);
}

py::typing::Dict<py::str, int> Counters() {
  const ProcessCounters counters = ReadProcessCounters();
  py::typing::Dict<py::str, int> result;
  result["copied_bytes"] = counters.copied_bytes;
  result["thread_wakeups"] = counters.thread_wakeups;
  result["page_faults"] = counters.page_faults;
  return result;
}

}  // namespace

void BindHousekeeper(py::module_& m) {
  SetLogSink([](const LogEvent& event) { Housekeeper::Global().Log(event); });
  m.def(
      "set_log_level", [](int level) { SetLogLevel(static_cast<LogLevel>(level)); },
      py::arg("level"));
  m.def("take_log_records", &TakeLogRecords);
  m.def("close_housekeeper", [] { Housekeeper::Global().Close(); });
}

}  // namespace pipeserve::bindings

// docs/decisions/0014: not without the GIL before it was tested so, and in one interpreter only.
PYBIND11_MODULE(_core, m, pybind11::mod_gil_used(),
                pybind11::multiple_interpreters::not_supported()) {
  using namespace pipeserve::bindings;
  m.doc() = "The native core of pipeserve_native.";
  m.attr("__version__") = PIPESERVE_VERSION;
  WatchForks();
  BindServable(m);
  BindResidentTensor(m);
  BindCallFuture(m);
  BindServer(m);
  BindWorkers(m);
  BindClient(m);
  BindAgent(m);
  BindGraphBuilder(m);
  BindModel(m);
  BindHousekeeper(m);
  m.def("counters", &Counters);
}
