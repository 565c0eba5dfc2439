#include <utility>

#include "bindings/bind.h"
#include "bindings/convert.h"
#include "bindings/errors.h"
#include "bindings/gil.h"
#include "bindings/types.h"
#include "pipeserve/resident_tensor.h"

namespace pipeserve::bindings {
namespace {

DimsTuple ShapeOf(const ResidentHandle& handle) {
  const auto dims = handle.tensor->shape().dims();
  DimsTuple shape(dims.size());
  for (size_t i = 0; i < dims.size(); ++i) shape[i] = py::int_(dims[i]);
  return shape;
}

py::object Numpy(const ResidentHandle& handle) {
  const Tensor tensor = Unwrap(WithoutGil([&] { return handle.tensor->Fetch(); }));
  return IsText(tensor.dtype()) ? ToObject(tensor) : ToClientObject(tensor);
}

}  // namespace

void BindResidentTensor(py::module_& m) {
  py::class_<ResidentHandle>(
      m, "ResidentTensor",
      "An output that stays where it was computed, until its request ends.\n"
      "\nWhat run(..., keep=True) returns. It stands for its array among the arguments\n"
      "of later calls of the same servable.")
      .def_property_readonly("shape", &ShapeOf, "Its dimensions, also after its end.")
      .def_property_readonly(
          "dtype", [](const ResidentHandle& handle) { return ToDtype(handle.tensor->dtype()); },
          "Its element type, also after its end.")
      .def("numpy", &Numpy,
           "The values: a read-only array, or for text what run() returns.\n\n"
           "Raises FailedPreconditionError when its request has ended or the thread works for\n"
           "another one, DeadlineExceededError or CancelledError when the request was given up,\n"
           "UnavailableError when the group of agents that computed it is lost.")
      .def("__repr__", [](const ResidentHandle& handle) {
        return "<ResidentTensor " + handle.tensor->ToString() + ">";
      });
}

}  // namespace pipeserve::bindings
