// What the signatures of the module say of arguments and results where the type of C++ says too
// little: the stub is made of them.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/typing.h>

namespace pipeserve::bindings {

namespace py = pybind11;

// An array of any element type and shape.
class AnyArray : public py::array {
 public:
  using py::array::array;
};

using AnyCallable = py::typing::Callable<py::object(py::ellipsis)>;
using AnyTuple = py::typing::Tuple<py::object, py::ellipsis>;
using DimsTuple = py::typing::Tuple<int, py::ellipsis>;

}  // namespace pipeserve::bindings

template <>
struct pybind11::detail::handle_type_name<pipeserve::bindings::AnyArray> {
  static constexpr auto name = const_name("numpy.typing.NDArray[typing.Any]");
};
