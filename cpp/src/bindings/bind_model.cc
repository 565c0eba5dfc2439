#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bind.h"
#include "bindings/convert.h"
#include "bindings/errors.h"
#include "bindings/gil.h"
#include "bindings/process.h"
#include "bindings/types.h"
#include "pipeserve/model.h"

namespace pipeserve::bindings {
namespace {

using ModelHere = OfProcess<Model>;

ModelHere LoadModel(const std::string& path, const py::bytes& key, std::string mode,
                    std::optional<int> threads) {
  const ModelOptions options{key, std::move(mode), threads};
  return {Unwrap(WithoutGil([&] { return Model::Load(path, options); })), "Model"};
}

AnyTuple Run(Model& model, const AnyTuple& inputs) {
  std::vector<Tensor> tensors;
  tensors.reserve(inputs.size());
  for (py::handle value : inputs) tensors.push_back(Unwrap(ToTensor(value)));
  return ToTuple(Unwrap(WithoutGil([&] { return model.Run(tensors); })));
}

// Per tensor its name, dtype and shape.
using InfoList = py::typing::List<py::typing::Tuple<py::str, py::dtype, DimsTuple>>;

InfoList Infos(const std::vector<TensorInfo>& infos) {
  InfoList list;
  for (const TensorInfo& info : infos) {
    const std::vector<int64_t> dims(info.shape.begin(), info.shape.end());
    list.append(py::make_tuple(info.name, ToDtype(info.dtype), py::tuple(py::cast(dims))));
  }
  return list;
}

}  // namespace

void BindModel(py::module_& m) {
  py::class_<ModelHere>(m, "Model")
      .def(py::init(&LoadModel), py::arg("path"), py::kw_only(), py::arg("key"), py::arg("mode"),
           py::arg("threads"))
      .def_property_readonly("inputs",
                             [](const ModelHere& model) { return Infos(model.get().inputs()); })
      .def_property_readonly("outputs",
                             [](const ModelHere& model) { return Infos(model.get().outputs()); })
      .def("run", Guarded(&Run), py::arg("inputs"));
}

}  // namespace pipeserve::bindings
