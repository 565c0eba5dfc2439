#include <pybind11/stl.h>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bind.h"
#include "bindings/convert.h"
#include "bindings/errors.h"
#include "bindings/gil.h"
#include "bindings/housekeeper.h"
#include "bindings/process.h"
#include "bindings/types.h"
#include "pipeserve/client.h"

namespace pipeserve::bindings {
namespace {

using Errors = py::typing::List<py::typing::Tuple<int, py::str>>;
using Replies = py::typing::List<py::typing::Dict<py::str, py::object>>;

using ClientHere = OfProcess<Client>;

// A reply on its way, filled by a thread of the client.
class PendingReply {
 public:
  void Set(Result<InferReply> reply) {
    {
      std::lock_guard lock(mutex_);
      reply_ = std::move(reply);
    }
    arrived_.notify_all();
  }

  bool WaitFor(std::chrono::milliseconds timeout) {
    std::unique_lock lock(mutex_);
    return arrived_.wait_for(lock, timeout, [this] { return reply_.has_value(); });
  }

  // After WaitFor() returned true the reply does not change any more.
  const Result<InferReply>& reply() const { return *reply_; }

  const Birthplace& birthplace() const { return birthplace_; }

 private:
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::optional<Result<InferReply>> reply_;
  const Birthplace birthplace_;
};

NamedInstance ToNamedInstance(const py::dict& values) {
  NamedInstance instance;
  instance.reserve(values.size());
  for (const auto& [name, value] : values) {
    instance.emplace_back(name.cast<std::string>(), Unwrap(ToClientTensor(value)));
  }
  return instance;
}

py::dict ToDict(const NamedInstance& instance) {
  py::dict values;
  for (const auto& [name, tensor] : instance) values[py::str(name)] = ToClientObject(tensor);
  return values;
}

ClientHere MakeClient(std::string address, std::string servable, std::string method,
                      uint64_t version, std::optional<ClientSslOptions> ssl) {
  EnterGrpc();
  ClientOptions options;
  options.address = std::move(address);
  options.servable = std::move(servable);
  options.method = std::move(method);
  options.version = version;
  options.ssl = std::move(ssl);
  return {Unwrap(WithoutGil([&] { return Client::Create(options); })), "Client"};
}

std::shared_ptr<PendingReply> Infer(Client& client, const py::typing::List<py::object>& instances) {
  Housekeeper::Global().ReleaseWaiting();
  std::vector<NamedInstance> request;
  request.reserve(instances.size());
  for (py::handle instance : instances) {
    request.push_back(ToNamedInstance(py::reinterpret_borrow<py::dict>(instance)));
  }
  auto pending = std::make_shared<PendingReply>();
  WithoutGil([&] {
    client.InferAsync(request,
                      [pending](Result<InferReply> reply) { pending->Set(std::move(reply)); });
  });
  return pending;
}

// The instances, and per error its code and text.
py::typing::Tuple<Replies, Errors> WaitForReply(PendingReply& pending) {
  pending.birthplace().Check("reply");
  while (!WithoutGil([&] { return pending.WaitFor(kWaitStep); })) CheckSignals();
  Unwrap(pending.reply().status());
  const InferReply& reply = *pending.reply();
  Replies instances;
  for (const NamedInstance& instance : reply.instances) instances.append(ToDict(instance));
  Errors errors;
  for (const InstanceError& error : reply.errors) {
    errors.append(py::make_tuple(error.code, error.message));
  }
  return py::make_tuple(instances, errors);
}

}  // namespace

void BindClient(py::module_& m) {
  py::class_<ClientSslOptions>(m, "ClientSslOptions")
      .def(py::init([](std::string certificate, std::string private_key, std::string custom_ca) {
             return ClientSslOptions{std::move(certificate), std::move(private_key),
                                     std::move(custom_ca)};
           }),
           py::kw_only(), py::arg("certificate_file"), py::arg("private_key_file"),
           py::arg("custom_ca_file"));
  py::class_<PendingReply, std::shared_ptr<PendingReply>>(m, "PendingReply")
      .def("result", &WaitForReply);
  py::class_<ClientHere>(m, "Client")
      .def(py::init(&MakeClient), py::kw_only(), py::arg("address"), py::arg("servable"),
           py::arg("method"), py::arg("version"), py::arg("ssl"))
      .def("infer", Guarded(&Infer), py::arg("instances"));
}

}  // namespace pipeserve::bindings
