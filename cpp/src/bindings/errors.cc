#include "bindings/errors.h"

#include <string_view>

namespace pipeserve::bindings {
namespace {

thread_local RaisedHere* current = nullptr;

py::module_ ErrorsModule() { return py::module_::import("pipeserve_native._errors"); }

// The exception with its traceback, which is apart until somebody catches it in Python.
py::object WithTraceback(const py::error_already_set& error) {
  if (error.trace()) PyException_SetTraceback(error.value().ptr(), error.trace().ptr());
  return error.value();
}

[[noreturn]] void Throw(const py::object& exception) {
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(exception.ptr())), exception.ptr());
  throw py::error_already_set();
}

}  // namespace

RaisedHere::RaisedHere() : outer_(current) { current = this; }
RaisedHere::~RaisedHere() { current = outer_; }
RaisedHere* RaisedHere::Current() { return current; }

void RaisedHere::Keep(py::object exception, std::string text) {
  if (exception_) return;
  exception_ = std::move(exception);
  text_ = std::move(text);
}

py::object RaisedHere::Explain(const Status& status) const {
  return exception_ && std::string_view(status.message()).ends_with(text_) ? exception_
                                                                           : py::object();
}

void Raise(const Status& status) {
  const py::object error =
      ErrorsModule().attr("from_status")(static_cast<int>(status.code()), status.message());
  py::object cause = current == nullptr ? py::object() : current->Explain(status);
  if (!cause) Throw(error);
  if (!PyObject_TypeCheck(cause.ptr(), reinterpret_cast<PyTypeObject*>(PyExc_Exception))) {
    Throw(cause);
  }
  PyException_SetCause(error.ptr(), cause.release().ptr());
  Throw(error);
}

Status ToStatus(const py::error_already_set& error, const std::string& name) {
  try {
    RaisedHere* const here = RaisedHere::Current();
    const py::object raised = WithTraceback(error);
    const auto described = ErrorsModule().attr("describe_failure")(name, raised, here == nullptr);
    const auto [code, text] = described.cast<std::pair<int, std::string>>();
    if (here != nullptr) here->Keep(raised, text);
    return Status(static_cast<StatusCode>(code), text);
  } catch (const std::exception& failure) {  // An exception whose text raises, for instance.
    return Internal(name + " failed: " + failure.what());
  }
}

}  // namespace pipeserve::bindings
