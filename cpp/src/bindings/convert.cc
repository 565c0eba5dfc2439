#include "bindings/convert.h"

#include <pybind11/gil_safe_call_once.h>

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bindings/errors.h"
#include "bindings/housekeeper.h"

namespace pipeserve::bindings {
namespace {

constexpr size_t kTypeCount = static_cast<size_t>(DataType::kBytes) + 1;

std::string TypeName(py::handle value) {
  return py::str(py::handle(reinterpret_cast<PyObject*>(Py_TYPE(value.ptr()))));
}

// kUnknown for a dtype that tensors do not have, and for foreign byte order.
DataType FindDataType(const py::dtype& dtype) {
  if (dtype.byteorder() == '>') return DataType::kUnknown;
  const auto size = dtype.itemsize();
  switch (dtype.kind()) {
    case 'b':
      return DataType::kBool;
    case 'i':
      if (size == 1) return DataType::kInt8;
      if (size == 2) return DataType::kInt16;
      return size == 4 ? DataType::kInt32 : DataType::kInt64;
    case 'u':
      if (size == 1) return DataType::kUint8;
      if (size == 2) return DataType::kUint16;
      return size == 4 ? DataType::kUint32 : DataType::kUint64;
    case 'f':
      if (size == 2) return DataType::kFloat16;
      if (size == 4) return DataType::kFloat32;
      return size == 8 ? DataType::kFloat64 : DataType::kUnknown;
    default:
      return DataType::kUnknown;
  }
}

using Dtypes = std::array<py::object, kTypeCount>;  // Empty for kUnknown.

Dtypes MakeDtypes() {
  Dtypes dtypes;
  for (size_t i = 0; i < kTypeCount; ++i) {
    const auto type = static_cast<DataType>(i);
    if (type == DataType::kUnknown) continue;
    const auto name = type == DataType::kString ? "str" : DataTypeName(type);
    dtypes.at(i) = py::dtype(std::string(name));
  }
  return dtypes;
}

// Marks the owner of a buffer as a numpy array: others hand out aligned pointers.
void* MarkOwner(PyObject* array) {
  return reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(array) | 1);
}

PyObject* MarkedOwner(const Buffer& buffer) {
  const auto owner = reinterpret_cast<uintptr_t>(buffer.owner());
  return (owner & 1) == 0 ? nullptr : reinterpret_cast<PyObject*>(owner & ~uintptr_t{1});
}

constexpr char kViewedTensor[] = "pipeserve_native.Tensor";  // Names the capsule under a view.

// The tensor that `array` is a view of, all of it and not writeable; null for any other array.
const Tensor* ViewedTensor(const py::array& array) {
  if (array.writeable() || !PyCapsule_IsValid(array.base().ptr(), kViewedTensor)) return nullptr;
  const auto* tensor =
      static_cast<const Tensor*>(PyCapsule_GetPointer(array.base().ptr(), kViewedTensor));
  const bool whole =
      array.data() == tensor->data() && static_cast<size_t>(array.nbytes()) == tensor->byte_size();
  return whole ? tensor : nullptr;
}

Result<Tensor> WrapArray(py::array array, DataType dtype) {
  std::vector<int64_t> dims(array.shape(), array.shape() + array.ndim());
  PIPESERVE_ASSIGN_OR_RETURN(const Shape shape, Shape::Create(dims));
  if (const Tensor* tensor = ViewedTensor(array)) return Tensor(dtype, shape, tensor->buffer());
  void* data = const_cast<void*>(array.data());
  const auto size = static_cast<size_t>(array.nbytes());
  PyObject* owner = array.release().ptr();
  return Tensor(
      dtype, shape,
      Buffer::Wrap(
          data, size, [owner] { Housekeeper::Global().Release(owner); }, MarkOwner(owner)));
}

template <typename T>
Tensor Single(const Shape& shape, T value) {
  return Tensor::Of<T>(shape, {value});
}

Result<Tensor> Illegal(py::handle value, std::string_view reason) {
  return InvalidArgument("Get illegal result data with type " + TypeName(value) + ": " +
                         std::string(reason));
}

Tensor BytesTensor(py::handle value, const Shape& shape) {
  const std::string_view item(PyBytes_AS_STRING(value.ptr()),
                              static_cast<size_t>(PyBytes_GET_SIZE(value.ptr())));
  return Tensor::FromStrings(DataType::kBytes, shape, std::span(&item, 1));
}

Result<Tensor> StringTensor(py::handle value, const Shape& shape) {
  Py_ssize_t size = 0;
  const char* text = PyUnicode_AsUTF8AndSize(value.ptr(), &size);
  if (text == nullptr) {
    PyErr_Clear();
    return Illegal(value, "the text cannot be encoded as UTF-8");
  }
  const std::string_view item(text, static_cast<size_t>(size));
  return Tensor::FromStrings(DataType::kString, shape, std::span(&item, 1));
}

Result<Tensor> IntTensor(py::handle value, const Shape& shape) {
  int overflow = 0;
  const long long number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
  if (overflow != 0) return Illegal(value, "the number does not fit into 64 bits");
  return Single<int64_t>(shape, number);
}

bool IsScalar(py::handle value) {
  PyObject* object = value.ptr();
  return PyBytes_Check(object) || PyUnicode_Check(object) || PyLong_Check(object) ||
         PyFloat_Check(object);
}

// bytes, str, bool, int or float.
Result<Tensor> ScalarTensor(py::handle value, const Shape& shape) {
  PyObject* object = value.ptr();
  if (PyBytes_Check(object)) return BytesTensor(value, shape);
  if (PyUnicode_Check(object)) return StringTensor(value, shape);
  if (PyBool_Check(object)) return Single<bool>(shape, object == Py_True);
  if (PyLong_Check(object)) return IntTensor(value, shape);
  return Single<double>(shape, PyFloat_AS_DOUBLE(object));
}

// A view of the tensor's bytes that keeps them alive.
py::array View(const Tensor& tensor) {
  const auto dims = tensor.shape().dims();
  const py::capsule keep(new Tensor(tensor), kViewedTensor, [](PyObject* capsule) {
    delete static_cast<Tensor*>(PyCapsule_GetPointer(capsule, kViewedTensor));
  });
  return py::array(ToDtype(tensor.dtype()), std::vector<py::ssize_t>(dims.begin(), dims.end()), {},
                   tensor.data(), keep);
}

py::object Text(std::string_view item) {
  return py::reinterpret_steal<py::object>(
      PyUnicode_DecodeUTF8(item.data(), static_cast<Py_ssize_t>(item.size()), "surrogateescape"));
}

// One item bare, several as a list.
template <typename Convert>
py::object Items(const Tensor& tensor, Convert convert) {
  const std::vector<std::string_view> items = tensor.Strings();
  if (items.size() == 1) return convert(items[0]);
  py::list list;
  for (std::string_view item : items) list.append(convert(item));
  return list;
}

py::object ByteArray(std::string_view item) {
  return py::array_t<uint8_t>(static_cast<py::ssize_t>(item.size()),
                              reinterpret_cast<const uint8_t*>(item.data()));
}

bool SameKind(const py::array& array, const Tensor& tensor) {
  const auto dims = tensor.shape().dims();
  return FindDataType(array.dtype()) == tensor.dtype() &&
         std::equal(array.shape(), array.shape() + array.ndim(), dims.begin(), dims.end());
}

}  // namespace

DataType ToDataType(const py::dtype& dtype) {
  const DataType found = FindDataType(dtype);
  if (found == DataType::kUnknown) {
    Raise(InvalidArgument("Unknown data type " + std::string(py::str(dtype))));
  }
  return found;
}

py::dtype ToDtype(DataType dtype) {
  // Made once, and kept when the interpreter ends: whoever comes first makes all of them.
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<Dtypes> dtypes;
  const Dtypes& made = dtypes.call_once_and_store_result(&MakeDtypes).get_stored();
  return py::reinterpret_borrow<py::dtype>(made.at(static_cast<size_t>(dtype)));
}

Result<Tensor> ToTensor(py::handle value) {
  if (IsScalar(value)) return ScalarTensor(value, Shape{});
  const py::array array = py::isinstance<py::array>(value)
                              ? py::reinterpret_borrow<py::array>(value)
                              : py::array::ensure(value);
  if (!array) return Illegal(value, "numpy makes no array of it");
  const DataType dtype = FindDataType(array.dtype());
  if (dtype == DataType::kUnknown) {
    return Illegal(value, "there are no tensors of " + std::string(py::str(array.dtype())));
  }
  if ((array.flags() & py::array::c_style) == 0) {
    return Illegal(value, "the array is not C-contiguous");
  }
  return WrapArray(array, dtype);
}

Result<Tensor> ToClientTensor(py::handle value) {
  const py::module_ numpy = py::module_::import("numpy");
  const bool is_array = py::isinstance<py::array>(value);
  const bool is_text = PyBytes_Check(value.ptr()) || PyUnicode_Check(value.ptr());
  if (!is_array && !py::isinstance(value, numpy.attr("generic"))) {
    if (IsScalar(value)) return ScalarTensor(value, Shape{1});
    return InvalidArgument("Not support value type " + TypeName(value));
  }
  if (is_text) return ScalarTensor(value, Shape{1});
  py::array array = is_array ? py::reinterpret_borrow<py::array>(value) : py::array::ensure(value);
  const py::dtype native = py::dtype::from_args(array.dtype().attr("newbyteorder")("="));
  const DataType dtype = FindDataType(native);
  if (dtype == DataType::kUnknown) {
    return InvalidArgument("Unknown data type " + std::string(py::str(array.dtype())));
  }
  if ((array.flags() & py::array::c_style) == 0 || !array.dtype().is(native)) {
    array = numpy.attr("require")(array, native, "C");
  }
  return WrapArray(array, dtype);
}

py::object ToObject(const Tensor& tensor) {
  if (tensor.dtype() == DataType::kString) return Items(tensor, Text);
  if (tensor.dtype() == DataType::kBytes) return Items(tensor, ByteArray);
  if (PyObject* owner = MarkedOwner(tensor.buffer())) {
    const auto array = py::reinterpret_borrow<py::array>(owner);
    if (SameKind(array, tensor)) return array;
  }
  return View(tensor);
}

py::object ToClientObject(const Tensor& tensor) {
  if (tensor.dtype() == DataType::kString) return Items(tensor, Text);
  if (tensor.dtype() == DataType::kBytes) {
    return Items(tensor, [](std::string_view item) -> py::object {
      return py::bytes(item.data(), item.size());
    });
  }
  py::array view = View(tensor);
  py::detail::array_proxy(view.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
  return view;
}

py::tuple ToTuple(const Instance& instance) {
  py::tuple values(instance.size());
  for (size_t i = 0; i < instance.size(); ++i) values[i] = ToObject(instance[i]);
  return values;
}

std::shared_ptr<const ResidentTensor> ToResident(py::handle value) {
  if (!py::isinstance<ResidentHandle>(value)) return nullptr;
  return value.cast<const ResidentHandle&>().tensor;
}

py::tuple ToTuple(const ResidentTensors& residents) {
  py::tuple values(residents.size());
  for (size_t i = 0; i < residents.size(); ++i) values[i] = py::cast(ResidentHandle{residents[i]});
  return values;
}

}  // namespace pipeserve::bindings
