// Python values and tensors, without copying arrays. Everything here needs the GIL.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <memory>

#include "pipeserve/resident_tensor.h"
#include "pipeserve/servable.h"
#include "pipeserve/tensor.h"

namespace pipeserve::bindings {

namespace py = pybind11;

// A value that user code hands to run() or returns: bytes, str, bool, int and float are scalars,
// anything else is what numpy makes of it. An array is shared and must be C-contiguous.
// Errors: kInvalidArgument.
Result<Tensor> ToTensor(py::handle value);

// A value of a client's instance: scalars have shape [1], arrays are made contiguous.
// Errors: kInvalidArgument.
Result<Tensor> ToClientTensor(py::handle value);

// What user code sees: the very array that the tensor was made from, a writable view of the
// tensor's bytes, a str, or the bytes as a uint8 array.
py::object ToObject(const Tensor& tensor);

// What a client sees: a read-only view, str or bytes; a list where there are several items.
py::object ToClientObject(const Tensor& tensor);

py::tuple ToTuple(const Instance& instance);

// A resident tensor as Python sees it.
struct ResidentHandle {
  std::shared_ptr<const ResidentTensor> tensor;
};

// Null for any other value.
std::shared_ptr<const ResidentTensor> ToResident(py::handle value);
py::tuple ToTuple(const ResidentTensors& residents);

// "float32" and so on for a numpy dtype. Raises for one that tensors do not have.
DataType ToDataType(const py::dtype& dtype);
// The inverse; for text a numpy str or bytes of no particular length.
py::dtype ToDtype(DataType dtype);

}  // namespace pipeserve::bindings
