#include <pybind11/stl.h>

#include <map>
#include <memory>
#include <string>
#include <utility>

#include "bindings/bind.h"
#include "bindings/errors.h"
#include "bindings/gil.h"
#include "bindings/method_host.h"
#include "bindings/process.h"
#include "pipeserve/server.h"
#include "pipeserve/worker_pool.h"
#include "pipeserve/worker_session.h"

namespace pipeserve::bindings {
namespace {

using PoolHere = OfProcess<WorkerPool>;
using SessionHere = OfProcess<WorkerSession>;

PoolHere MakePool(const OfProcess<Server>& server, std::string servable, uint64_t version,
                  double grace) {
  return {std::make_unique<WorkerPool>(
              server.get(), WorkerPoolOptions{std::move(servable), version, ToMilliseconds(grace)}),
          "WorkerPool"};
}

std::shared_ptr<HostFunction> PoolFunction(WorkerPool& pool, std::string key, std::string name,
                                           std::string method) {
  return pool.Function(std::move(key), std::move(name), std::move(method));
}

uint64_t AddWorker(WorkerPool& pool, int socket_fd, int process_fd) {
  return Unwrap(pool.Add(socket_fd, process_fd));
}

void RemoveWorker(WorkerPool& pool, uint64_t worker, const std::string& how) {
  WithoutGil([&] { pool.Remove(worker, how); });
}

void ClosePool(WorkerPool& pool) {
  WithoutGil([&] { pool.Close(); });
}

void EndWorkers(WorkerPool& pool) {
  WithoutGil([&] { pool.EndWorkers(); });
}

SessionHere MakeSession(int socket_fd, WorkerSession::Functions functions) {
  return {Unwrap(WorkerSession::Create(socket_fd, std::move(functions))), "WorkerSession"};
}

void Serve(WorkerSession& session) {
  Unwrap(WithoutGil([&] { return session.Serve(); }));
}

}  // namespace

void BindWorkers(py::module_& m) {
  py::class_<PoolHere>(m, "WorkerPool")
      // Its functions call methods of the server.
      .def(py::init(&MakePool), py::keep_alive<1, 2>(), py::kw_only(), py::arg("server"),
           py::arg("servable"), py::arg("version"), py::arg("grace"))
      .def("function", Guarded(&PoolFunction), py::arg("key"), py::arg("name"), py::arg("method"))
      .def("add", Guarded(&AddWorker), py::arg("socket_fd"), py::arg("process_fd"))
      .def("remove", Guarded(&RemoveWorker), py::arg("worker"), py::arg("how"))
      .def("close", Guarded(&ClosePool))
      .def("end_workers", Guarded(&EndWorkers));
  py::class_<SessionHere> session(m, "WorkerSession");
  BindMethodHost(session);
  session.def(py::init(&MakeSession), py::arg("socket_fd"), py::arg("functions"))
      .def("serve", Guarded(&Serve));
}

}  // namespace pipeserve::bindings
