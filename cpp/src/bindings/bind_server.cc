#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bind.h"
#include "bindings/convert.h"
#include "bindings/errors.h"
#include "bindings/gil.h"
#include "bindings/housekeeper.h"
#include "bindings/method_host.h"
#include "bindings/process.h"
#include "bindings/types.h"
#include "pipeserve/server.h"

namespace pipeserve::bindings {
namespace {

using Clock = std::chrono::steady_clock;
using ServerHere = OfProcess<Server>;

ServerHere MakeServer(int max_inflight, size_t max_enqueued_requests, size_t max_enqueued_bytes,
                      double max_request_seconds) {
  return {Unwrap(Server::Create({max_inflight, max_enqueued_requests, max_enqueued_bytes,
                                 ToMilliseconds(max_request_seconds)})),
          "Server"};
}

void LoadLocal(Server& server, const ServableSpec& spec, std::vector<std::string> model_files,
               const std::optional<py::bytes>& key, const std::string& mode,
               std::optional<int> threads, int max_inflight, bool on_request_only) {
  LocalServableOptions options{.model_files = std::move(model_files),
                               .threads = threads,
                               .max_inflight = max_inflight,
                               .on_request_only = on_request_only};
  if (key) options.decryption = DecryptionOptions{*key, mode};
  Unwrap(WithoutGil([&] { return server.LoadLocal(spec, options); }));
}

std::string StartDistributed(Server& server, const ServableSpec& spec, int rank_size,
                             int stage_size, std::string rank_table_file, std::string address,
                             std::optional<SslOptions> agents_ssl, std::string agent_token,
                             double call_timeout, double heartbeat, double dead_after,
                             double failover_timeout,
                             std::optional<std::function<void()>> on_agent_lost, LaneKind lane,
                             bool wait_for_all, int max_inflight, bool on_request_only) {
  EnterGrpc();
  const DistributedServableOptions options{
      .rank_size = rank_size,
      .stage_size = stage_size,
      .rank_table_file = std::move(rank_table_file),
      .address = std::move(address),
      .agents_ssl = std::move(agents_ssl),
      .agent_token = std::move(agent_token),
      .call_timeout = ToMilliseconds(call_timeout),
      .heartbeat = ToMilliseconds(heartbeat),
      .dead_after = ToMilliseconds(dead_after),
      .failover_timeout = ToMilliseconds(failover_timeout),
      .on_agent_lost = std::move(on_agent_lost).value_or(nullptr),
      .lane = lane,
      .wait_for_all = wait_for_all,
      .max_inflight = max_inflight,
      .on_request_only = on_request_only};
  return Unwrap(WithoutGil([&] { return server.StartDistributed(spec, options); }));
}

void WaitReady(Server& server, const std::string& name, uint64_t version,
               std::optional<double> timeout) {
  const auto end = Clock::now() + (timeout ? ToMilliseconds(*timeout) : kWaitStep);
  while (true) {
    auto step = kWaitStep;
    if (timeout) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
      step = std::clamp(left, std::chrono::milliseconds(0), kWaitStep);
    }
    const Status status = WithoutGil([&] { return server.WaitReady(name, version, step); });
    CheckSignals();
    const bool expired = timeout && Clock::now() >= end;
    if (status.code() != StatusCode::kDeadlineExceeded || expired) return Unwrap(status);
  }
}

void Switch(Server& server, const std::string& name, uint64_t version) {
  Unwrap(WithoutGil([&] { return server.Switch(name, version); }));
}

void Unload(Server& server, const std::string& name, uint64_t version, double drain_seconds) {
  Unwrap(WithoutGil([&] { return server.Unload(name, version, ToMilliseconds(drain_seconds)); }));
}

std::string StateAsJson(Server& server) {
  return WithoutGil([&] { return ToJson(server.state()); });
}

std::string StartGrpc(Server& server, std::string address, size_t max_message_bytes,
                      std::optional<SslOptions> ssl, int max_connections) {
  EnterGrpc();
  const ListenOptions options{.address = std::move(address),
                              .max_message_bytes = max_message_bytes,
                              .ssl = std::move(ssl),
                              .max_connections = max_connections};
  return Unwrap(WithoutGil([&] { return server.StartGrpc(options); }));
}

std::string StartRest(Server& server, std::string address, size_t max_message_bytes,
                      std::optional<SslOptions> ssl, int max_connections, bool http_status_codes) {
  const ListenOptions options{.address = std::move(address),
                              .max_message_bytes = max_message_bytes,
                              .ssl = std::move(ssl),
                              .max_connections = max_connections,
                              .http_status_codes = http_status_codes};
  return Unwrap(WithoutGil([&] { return server.StartRest(options); }));
}

std::string StartAdmin(Server& server, std::string address, std::shared_ptr<HostFunction> actions,
                       std::optional<SslOptions> ssl, int max_connections) {
  const ListenOptions options{
      .address = std::move(address), .ssl = std::move(ssl), .max_connections = max_connections};
  return Unwrap(WithoutGil([&] { return server.StartAdmin(options, std::move(actions)); }));
}

// The values that a client could send, as it would send them.
Instance ToInputs(const std::string& callable, const AnyTuple& args) {
  Instance inputs;
  inputs.reserve(args.size());
  for (py::handle value : args) {
    Result<Tensor> tensor = ToClientTensor(value);
    if (!tensor.ok()) {
      Raise(tensor.status().WithContext(callable + " input " + std::to_string(inputs.size())));
    }
    inputs.push_back(*std::move(tensor));
  }
  return inputs;
}

AnyTuple Infer(Server& server, const std::string& servable, uint64_t version,
               const std::string& callable, const AnyTuple& args) {
  Housekeeper::Global().ReleaseWaiting();
  const RaisedHere raised;
  Instance inputs = ToInputs(callable, args);
  const Result<Instance> outputs = WithoutGil(
      [&] { return server.Infer(servable, callable, std::move(inputs), {.version = version}); });
  if (!outputs.ok()) Raise(outputs.status());
  AnyTuple values(outputs->size());
  for (size_t i = 0; i < values.size(); ++i) values[i] = ToClientObject((*outputs)[i]);
  return values;
}

void SetMaxEnqueuedRequests(Server& server, size_t limit) {
  server.set_max_enqueued_requests(limit);
}

// In a forked process there is nothing to drain.
void Drain(const ServerHere& server, double seconds) {
  if (!server.is_here()) return;
  WithoutGil([&server = server.get(), seconds] { server.Drain(ToMilliseconds(seconds)); });
}

// In a forked process there is nothing to stop.
void Stop(const ServerHere& server) {
  if (server.is_here()) WithoutGil([&server = server.get()] { server.Stop(); });
}

void BindOptions(py::module_& m) {
  py::class_<SslOptions>(m, "SslOptions")
      .def(py::init([](std::string certificate, std::string private_key, std::string custom_ca,
                       bool verify_client) {
             return SslOptions{std::move(certificate), std::move(private_key), std::move(custom_ca),
                               verify_client};
           }),
           py::kw_only(), py::arg("certificate_file"), py::arg("private_key_file"),
           py::arg("custom_ca_file"), py::arg("verify_client"));
}

}  // namespace

void BindServer(py::module_& m) {
  BindOptions(m);
  py::enum_<LaneKind>(m, "LaneKind")
      .value("AUTO", LaneKind::kAuto)
      .value("SHM", LaneKind::kShm)
      .value("GRPC", LaneKind::kGrpc);
  py::class_<ServerHere> server(m, "Server");
  BindMethodHost(server);
  server
      .def(py::init(&MakeServer), py::kw_only(), py::arg("max_inflight"),
           py::arg("max_enqueued_requests"), py::arg("max_enqueued_bytes"),
           py::arg("max_request_seconds"))
      .def("set_max_enqueued_requests", Guarded(&SetMaxEnqueuedRequests), py::arg("limit"))
      .def("load_local", Guarded(&LoadLocal), py::arg("spec"), py::kw_only(),
           py::arg("model_files"), py::arg("key"), py::arg("mode"), py::arg("threads"),
           py::arg("max_inflight"), py::arg("on_request_only"))
      .def("start_distributed", Guarded(&StartDistributed), py::arg("spec"), py::kw_only(),
           py::arg("rank_size"), py::arg("stage_size"), py::arg("rank_table_file"),
           py::arg("address"), py::arg("agents_ssl"), py::arg("agent_token"),
           py::arg("call_timeout"), py::arg("heartbeat"), py::arg("dead_after"),
           py::arg("failover_timeout"), py::arg("on_agent_lost"), py::arg("lane"),
           py::arg("wait_for_all"), py::arg("max_inflight"), py::arg("on_request_only"))
      .def("wait_ready", Guarded(&WaitReady), py::arg("name"), py::arg("version"),
           py::arg("timeout"))
      .def("switch", Guarded(&Switch), py::arg("name"), py::arg("version"))
      .def("unload", Guarded(&Unload), py::arg("name"), py::arg("version"),
           py::arg("drain_seconds"))
      .def("state_as_json", Guarded(&StateAsJson))
      .def("start_grpc", Guarded(&StartGrpc), py::arg("address"), py::kw_only(),
           py::arg("max_message_bytes"), py::arg("ssl"), py::arg("max_connections"))
      .def("start_rest", Guarded(&StartRest), py::arg("address"), py::kw_only(),
           py::arg("max_message_bytes"), py::arg("ssl"), py::arg("max_connections"),
           py::arg("http_status_codes"))
      .def("start_admin", Guarded(&StartAdmin), py::arg("address"), py::arg("actions").none(false),
           py::kw_only(), py::arg("ssl") = py::none(), py::arg("max_connections") = 64)
      .def("infer", Guarded(&Infer), py::arg("servable"), py::arg("version"), py::arg("callable"),
           py::arg("args"))
      .def("drain", &Drain, py::arg("seconds"))
      .def("stop", &Stop);
}

}  // namespace pipeserve::bindings
