#include "bindings/host_function.h"

#include <string_view>
#include <utility>
#include <vector>

#include "bindings/convert.h"
#include "bindings/errors.h"
#include "bindings/gil.h"
#include "bindings/housekeeper.h"

namespace pipeserve::bindings {
namespace {

std::string Counted(size_t count, std::string_view noun) {
  std::string text = std::to_string(count) + " " + std::string(noun);
  if (count != 1) text += 's';
  return text;
}

// What the classes below share: a reference to the function, and how its result is read.
class PythonFunction : public HostFunction {
 public:
  PythonFunction(py::function function, std::string name, int output_count)
      : function_(function.release().ptr()),
        name_(std::move(name)),
        output_count_(static_cast<size_t>(output_count)) {}
  ~PythonFunction() override { Housekeeper::Global().Release(function_); }

  const std::string& name() const override { return name_; }
  bool takes_host_lock() const final { return true; }

  std::vector<Result<Instance>> Call(std::span<const Instance> instances) final {
    const GilGuard gil;
    Housekeeper::Global().ReleaseWaiting();
    std::vector<Result<Instance>> results;
    results.reserve(instances.size());
    while (results.size() < instances.size()) {
      CallSome(instances.subspan(results.size()), &results);
    }
    return results;
  }

 protected:
  // Adds at least one result.
  virtual void CallSome(std::span<const Instance> instances,
                        std::vector<Result<Instance>>* results) const = 0;

  py::handle function() const { return function_; }

  // One value, or a tuple or list of as many as there are outputs; with none, anything.
  Result<Instance> ReadResult(py::handle result) const {
    if (output_count_ == 0) return Instance{};
    if (result.is_none()) {
      return Internal(name_ + " returned None, expected " + Counted(output_count_, "value"));
    }
    if (!PyTuple_Check(result.ptr()) && !PyList_Check(result.ptr())) {
      return ReadValues(py::make_tuple(result));
    }
    return ReadValues(py::reinterpret_borrow<py::sequence>(result));
  }

 private:
  Result<Instance> ReadValues(const py::sequence& values) const {
    if (values.size() != output_count_) {
      return Internal(name_ + " returned " + Counted(values.size(), "value") + ", expected " +
                      std::to_string(output_count_));
    }
    Instance instance;
    instance.reserve(output_count_);
    for (py::handle value : values) {
      Result<Tensor> tensor = ReadValue(value);
      if (!tensor.ok()) {
        return tensor.status().WithContext(name_ + " output " + std::to_string(instance.size()));
      }
      instance.push_back(*std::move(tensor));
    }
    return instance;
  }

  Result<Tensor> ReadValue(py::handle value) const {
    if (value.is_none()) return InvalidArgument("Get illegal result data with type NoneType");
    if (py::isinstance<py::array>(value)) return ToTensor(value);
    if (const auto resident = ToResident(value)) return resident->AsArgument();
    return ToTensor(py::hasattr(value, "asnumpy") ? value.attr("asnumpy")() : value);
  }

  PyObject* const function_;
  const std::string name_;
  const size_t output_count_;
};

class InstanceFunction final : public PythonFunction {
 public:
  using PythonFunction::PythonFunction;

  void CallSome(std::span<const Instance> instances,
                std::vector<Result<Instance>>* results) const override {
    results->push_back(CallOne(instances.front()));
  }

 private:
  Result<Instance> CallOne(const Instance& instance) const {
    try {
      return ReadResult(function()(*ToTuple(instance)));
    } catch (const py::error_already_set& error) {
      return ToStatus(error, name());
    }
  }
};

class GeneratorFunction final : public PythonFunction {
 public:
  using PythonFunction::PythonFunction;

  void CallSome(std::span<const Instance> instances,
                std::vector<Result<Instance>>* results) const override {
    try {
      py::tuple batch(instances.size());
      for (size_t i = 0; i < instances.size(); ++i) batch[i] = ToTuple(instances[i]);
      const auto iterator =
          py::reinterpret_steal<py::object>(PyObject_GetIter(py::object(function()(batch)).ptr()));
      if (!iterator) throw py::error_already_set();
      for (size_t i = 0; i < instances.size(); ++i) {
        const auto result = py::reinterpret_steal<py::object>(PyIter_Next(iterator.ptr()));
        if (!result && PyErr_Occurred() != nullptr) throw py::error_already_set();
        if (!result) return EndEarly(i, instances.size(), results);
        results->push_back(ReadResult(result));
      }
    } catch (const py::error_already_set& error) {
      results->push_back(ToStatus(error, name()));
    }
  }

 private:
  void EndEarly(size_t yielded, size_t wanted, std::vector<Result<Instance>>* results) const {
    const Status status = Internal(name() + " yielded " + Counted(yielded, "result") + " for " +
                                   Counted(wanted, "instance"));
    for (size_t i = yielded; i < wanted; ++i) results->push_back(status);
  }
};

}  // namespace

std::shared_ptr<HostFunction> MakeInstanceFunction(AnyCallable function, std::string name,
                                                   int output_count) {
  return std::make_shared<InstanceFunction>(std::move(function), std::move(name), output_count);
}

std::shared_ptr<HostFunction> MakeGeneratorFunction(AnyCallable function, std::string name,
                                                    int output_count) {
  return std::make_shared<GeneratorFunction>(std::move(function), std::move(name), output_count);
}

}  // namespace pipeserve::bindings
