#include "bindings/bound_method.h"

#include <exception>
#include <memory>
#include <new>
#include <string_view>
#include <utility>

#include "bindings/convert.h"
#include "bindings/errors.h"
#include "bindings/gil.h"
#include "bindings/housekeeper.h"

namespace pipeserve::bindings {
namespace {

constexpr std::string_view kRunContext = "Run failed";
constexpr char kCapsule[] = "pipeserve_native.BoundMethod";

struct Target {
  py::object owner;  // Of the server.
  Server* server;
  std::string servable;
  uint64_t version;
  std::string method;
};

Result<PendingCall::Results> RunMethod(const Target& target, std::span<PyObject* const> args) {
  std::vector<Instance> instances = ToInstances(args);
  GilLock gil;
  return target.server->RunMethod(target.servable, target.version, target.method,
                                  std::move(instances), &gil);
}

py::object Run(const Target& target, std::span<PyObject* const> args) {
  const Result<PendingCall::Results> results = RunMethod(target, args);
  Housekeeper::Global().ReleaseWaiting();  // Arguments that the core let go without the GIL.
  return ToReturned(results, IsListForm(args));
}

// No exception of C++ may pass.
PyObject* Call(PyObject* capsule, PyObject* const* args, Py_ssize_t count) {
  const auto* target = static_cast<const Target*>(PyCapsule_GetPointer(capsule, kCapsule));
  try {
    return Run(*target, {args, static_cast<size_t>(count)}).release().ptr();
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const std::bad_alloc&) {
    PyErr_NoMemory();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

PyMethodDef* Definition() {
  // A PyCFunction by name only: METH_FASTCALL says how it is called.
  static PyMethodDef definition = {
      "run", reinterpret_cast<PyCFunction>(reinterpret_cast<void (*)()>(&Call)), METH_FASTCALL,
      "Runs the method with these arguments."};
  return &definition;
}

}  // namespace

bool IsListForm(std::span<PyObject* const> args) {
  return args.size() == 1 && PyList_Check(args[0]);
}

std::vector<Instance> ToInstances(std::span<PyObject* const> args) {
  std::vector<Instance> instances;
  if (IsListForm(args)) {
    for (py::handle value : py::list(py::reinterpret_borrow<py::list>(args[0]))) {
      instances.push_back({Unwrap(ToTensor(value))});
    }
  } else {
    Instance& instance = instances.emplace_back();
    instance.reserve(args.size());
    for (PyObject* value : args) instance.push_back(Unwrap(ToTensor(value)));
  }
  if (instances.empty()) Raise(InvalidArgument("Inputs cannot be empty").WithContext(kRunContext));
  return instances;
}

py::object ToReturned(const Result<PendingCall::Results>& results, bool list_form) {
  if (!results.ok()) Raise(results.status().WithContext(kRunContext));
  for (const Result<Instance>& result : *results) {
    if (!result.ok()) Raise(result.status().WithContext(kRunContext));
  }
  if (!list_form) {
    const Instance& outputs = *results->front();
    return outputs.size() == 1 ? ToObject(outputs[0]) : py::object(ToTuple(outputs));
  }
  py::list values(results->size());
  for (size_t i = 0; i < results->size(); ++i) values[i] = ToTuple(*(*results)[i]);
  return values;
}

py::object BindMethod(const py::object& server, std::string servable, uint64_t version,
                      std::string method) {
  auto target = std::make_unique<Target>(
      Target{server, &server.cast<Server&>(), std::move(servable), version, std::move(method)});
  const py::capsule capsule(target.get(), kCapsule, [](PyObject* self) {
    delete static_cast<Target*>(PyCapsule_GetPointer(self, kCapsule));
  });
  target.release();
  PyObject* function = PyCFunction_New(Definition(), capsule.ptr());
  if (function == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(function);
}

}  // namespace pipeserve::bindings
