#include <utility>

#include "bindings/bind.h"
#include "bindings/convert.h"
#include "bindings/errors.h"
#include "pipeserve/resident_tensor.h"

namespace pipeserve::bindings {
namespace {

py::tuple ShapeOf(const ResidentHandle& handle) {
  const auto dims = handle.tensor->shape().dims();
  py::tuple shape(dims.size());
  for (size_t i = 0; i < dims.size(); ++i) shape[i] = py::int_(dims[i]);
  return shape;
}

py::object Numpy(const ResidentHandle& handle) {
  const Tensor tensor = Unwrap(handle.tensor->Fetch());
  return IsText(tensor.dtype()) ? ToObject(tensor) : ToClientObject(tensor);
}

}  // namespace

void BindResidentTensor(py::module_& m) {
  py::class_<ResidentHandle>(m, "ResidentTensor")
      .def_property_readonly("shape", &ShapeOf)
      .def_property_readonly(
          "dtype", [](const ResidentHandle& handle) { return ToDtype(handle.tensor->dtype()); })
      .def("numpy", &Numpy)
      .def("__repr__", [](const ResidentHandle& handle) {
        return "<ResidentTensor " + handle.tensor->ToString() + ">";
      });
}

}  // namespace pipeserve::bindings
