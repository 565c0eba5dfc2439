#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <utility>

#include "bindings/bind.h"
#include "bindings/errors.h"
#include "bindings/gil.h"
#include "bindings/process.h"
#include "pipeserve/agent.h"

namespace pipeserve::bindings {
namespace {

AgentGroupConfig AcquireConfig(const std::string& address, double timeout, std::string token,
                               std::optional<ClientSslOptions> ssl) {
  EnterGrpc();
  const AgentCredentials credentials{std::move(ssl), std::move(token)};
  return Unwrap(WithoutGil(
      [&] { return AcquireAgentConfig(address, ToMilliseconds(timeout), credentials); }));
}

void ReportFailure(const std::string& address, const std::string& reason, std::string token,
                   std::optional<ClientSslOptions> ssl) {
  EnterGrpc();
  const AgentCredentials credentials{std::move(ssl), std::move(token)};
  Unwrap(WithoutGil([&] { return ReportAgentsFailed(address, reason, credentials); }));
}

}  // namespace

void BindAgent(py::module_& m) {
  py::class_<RankPlace>(m, "RankPlace")
      .def_readonly("ip", &RankPlace::ip)
      .def_readonly("device_id", &RankPlace::device_id);
  py::class_<AgentGroupConfig>(m, "AgentGroupConfig")
      .def_readonly("servable_name", &AgentGroupConfig::servable_name)
      .def_readonly("rank_size", &AgentGroupConfig::rank_size)
      .def_readonly("stage_size", &AgentGroupConfig::stage_size)
      .def_readonly("rank_table_json", &AgentGroupConfig::rank_table_json)
      .def_readonly("ranks", &AgentGroupConfig::ranks);
  m.def("acquire_agent_config", &AcquireConfig, py::arg("address"), py::arg("timeout"),
        py::kw_only(), py::arg("token"), py::arg("ssl"));
  m.def("report_agents_failed", &ReportFailure, py::arg("address"), py::arg("reason"),
        py::kw_only(), py::arg("token"), py::arg("ssl"));
}

}  // namespace pipeserve::bindings
