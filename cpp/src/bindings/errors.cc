#include "bindings/errors.h"

namespace pipeserve::bindings {
namespace {

py::module_ ErrorsModule() { return py::module_::import("pipeserve_native._errors"); }

}  // namespace

void Raise(const Status& status) {
  const py::object error =
      ErrorsModule().attr("from_status")(static_cast<int>(status.code()), status.message());
  PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  throw py::error_already_set();
}

Status ToStatus(const py::error_already_set& error, const std::string& name) {
  try {
    const auto described = ErrorsModule().attr("describe_failure")(name, error.value());
    const auto [code, text] = described.cast<std::pair<int, std::string>>();
    return Status(static_cast<StatusCode>(code), text);
  } catch (const std::exception& failure) {  // An exception whose text raises, for instance.
    return Internal(name + " failed: " + failure.what());
  }
}

}  // namespace pipeserve::bindings
