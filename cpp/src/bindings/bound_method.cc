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
#include "bindings/process.h"

namespace pipeserve::bindings {
namespace {

constexpr std::string_view kRunContext = "Run failed";
constexpr char kCapsule[] = "pipeserve_native.BoundMethod";

struct Target {
  py::object owner;  // Of the host.
  MethodHost* host;
  Birthplace birthplace;
  std::string servable;
  uint64_t version;
  std::string method;
  bool keep;
};

template <typename Function>
py::object RunBy(Function function, const Target& target, std::span<PyObject* const> args) {
  const RaisedHere raised;
  target.birthplace.Check("method");
  const auto results = [&] {
    Arguments given = ToArguments(args);
    GilLock gil;
    return (target.host->*function)(target.servable, target.version, target.method,
                                    std::move(given.instances), given.residents, &gil);
  }();
  Housekeeper::Global().ReleaseWaiting();  // Arguments that the core let go without the GIL.
  return ToReturned(results, IsListForm(args));
}

py::object Run(const Target& target, std::span<PyObject* const> args) {
  return target.keep ? RunBy(&MethodHost::RunAndKeep, target, args)
                     : RunBy(&MethodHost::RunMethod, target, args);
}

Tensor ToArgument(py::handle value, ResidentTensors* residents) {
  if (py::isinstance<py::array>(value)) return Unwrap(ToTensor(value));
  auto resident = ToResident(value);
  if (resident == nullptr) return Unwrap(ToTensor(value));
  Result<Tensor> tensor = resident->AsArgument();
  if (!tensor.ok()) Raise(tensor.status().WithContext(kRunContext));
  residents->push_back(std::move(resident));
  return *std::move(tensor);
}

py::object ToValue(const Tensor& tensor) { return ToObject(tensor); }
py::object ToValue(const std::shared_ptr<const ResidentTensor>& resident) {
  return py::cast(ResidentHandle{resident});
}

template <typename Results>
py::object ToReturnedBy(const Results& results, bool list_form) {
  if (!results.ok()) Raise(results.status().WithContext(kRunContext));
  for (const auto& result : *results) {
    if (!result.ok()) Raise(result.status().WithContext(kRunContext));
  }
  if (!list_form) {
    const auto& outputs = *results->front();
    return outputs.size() == 1 ? ToValue(outputs[0]) : py::object(ToTuple(outputs));
  }
  py::list values(results->size());
  for (size_t i = 0; i < results->size(); ++i) values[i] = ToTuple(*(*results)[i]);
  return values;
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

Arguments ToArguments(std::span<PyObject* const> args) {
  Arguments arguments;
  if (IsListForm(args)) {
    for (py::handle value : py::list(py::reinterpret_borrow<py::list>(args[0]))) {
      arguments.instances.push_back({ToArgument(value, &arguments.residents)});
    }
  } else {
    Instance& instance = arguments.instances.emplace_back();
    instance.reserve(args.size());
    for (PyObject* value : args) instance.push_back(ToArgument(value, &arguments.residents));
  }
  if (arguments.instances.empty()) {
    Raise(InvalidArgument("Inputs cannot be empty").WithContext(kRunContext));
  }
  return arguments;
}

py::object ToReturned(const Result<PendingCall::Results>& results, bool list_form) {
  return ToReturnedBy(results, list_form);
}
py::object ToReturned(const Result<PendingCall::KeptResults>& results, bool list_form) {
  return ToReturnedBy(results, list_form);
}

AnyCallable BindMethod(const py::object& owner, MethodHost& host, std::string servable,
                       uint64_t version, std::string method, bool keep) {
  auto target = std::make_unique<Target>(
      Target{owner, &host, {}, std::move(servable), version, std::move(method), keep});
  const py::capsule capsule(target.get(), kCapsule, [](PyObject* self) {
    delete static_cast<Target*>(PyCapsule_GetPointer(self, kCapsule));
  });
  target.release();
  PyObject* function = PyCFunction_New(Definition(), capsule.ptr());
  if (function == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<AnyCallable>(function);
}

}  // namespace pipeserve::bindings
