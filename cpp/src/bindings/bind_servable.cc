#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings/bind.h"
#include "bindings/gil.h"
#include "bindings/host_function.h"
#include "pipeserve/servable.h"

namespace pipeserve::bindings {
namespace {

using Names = std::vector<std::string>;
using Sources = std::vector<DataSource>;

std::optional<std::shared_ptr<HostFunction>> NativeFunction(const std::string& name) {
  auto function = FindNativeFunction(name);
  if (!function) return std::nullopt;
  return function;
}

void BindSteps(py::module_& m) {
  py::enum_<Phase>(m, "Phase")
      .value("INPUT", Phase::kInput)
      .value("PREPROCESS", Phase::kPreprocess)
      .value("PREDICT", Phase::kPredict)
      .value("POSTPROCESS", Phase::kPostprocess);
  py::class_<DataSource>(m, "DataSource")
      .def(py::init([](Phase phase, int index) { return DataSource{phase, index}; }),
           py::arg("phase"), py::arg("index"));
  py::class_<HostStep>(m, "HostStep")
      .def(py::init([](std::shared_ptr<HostFunction> function, Sources inputs, int output_count) {
             return HostStep{std::move(function), std::move(inputs), output_count};
           }),
           py::arg("function"), py::arg("inputs"), py::arg("output_count"));
  py::class_<GraphStep>(m, "GraphStep")
      .def(py::init([](int subgraph, Sources inputs, int output_count) {
             return GraphStep{subgraph, std::move(inputs), output_count};
           }),
           py::arg("subgraph"), py::arg("inputs"), py::arg("output_count"));
}

void BindSpecs(py::module_& m) {
  py::class_<MethodSpec>(m, "MethodSpec")
      .def(
          py::init([](std::string name, Names input_names, Names output_names,
                      const std::optional<HostStep>& preprocess, GraphStep graph,
                      const std::optional<HostStep>& postprocess, Sources outputs, double timeout) {
            return MethodSpec{std::move(name),         std::move(input_names),
                              std::move(output_names), preprocess.value_or(HostStep{}),
                              std::move(graph),        postprocess.value_or(HostStep{}),
                              std::move(outputs),      ToDuration(timeout)};
          }),
          py::kw_only(), py::arg("name"), py::arg("input_names"), py::arg("output_names"),
          py::arg("preprocess"), py::arg("graph"), py::arg("postprocess"), py::arg("outputs"),
          py::arg("timeout"));
  py::class_<PipelineSpec>(m, "PipelineSpec")
      .def(py::init([](std::string name, Names input_names, Names output_names,
                       std::shared_ptr<HostFunction> function, double timeout, bool replayable) {
             return PipelineSpec{std::move(name),         std::move(input_names),
                                 std::move(output_names), std::move(function),
                                 ToDuration(timeout),     replayable};
           }),
           py::kw_only(), py::arg("name"), py::arg("input_names"), py::arg("output_names"),
           py::arg("function"), py::arg("timeout"), py::arg("replayable"));
  py::class_<ServableSpec>(m, "ServableSpec")
      .def(py::init([](std::string name, uint64_t version, std::vector<MethodSpec> methods,
                       std::vector<PipelineSpec> pipelines,
                       std::optional<std::shared_ptr<HostFunction>> warm_up, bool with_batch_dim,
                       std::vector<int> without_batch_dim_inputs) {
             return ServableSpec{std::move(name),
                                 version,
                                 std::move(methods),
                                 std::move(pipelines),
                                 std::move(warm_up).value_or(nullptr),
                                 with_batch_dim,
                                 std::move(without_batch_dim_inputs)};
           }),
           py::kw_only(), py::arg("name"), py::arg("version"), py::arg("methods"),
           py::arg("pipelines"), py::arg("warm_up"), py::arg("with_batch_dim"),
           py::arg("without_batch_dim_inputs"));
}

}  // namespace

void BindServable(py::module_& m) {
  py::class_<HostFunction, std::shared_ptr<HostFunction>>(m, "HostFunction")
      .def_property_readonly("name", &HostFunction::name);
  m.def("instance_function", &MakeInstanceFunction, py::arg("function"), py::arg("name"),
        py::arg("output_count"));
  m.def("generator_function", &MakeGeneratorFunction, py::arg("function"), py::arg("name"),
        py::arg("output_count"));
  m.def("native_function", &NativeFunction, py::arg("name"));
  BindSteps(m);
  BindSpecs(m);
}

}  // namespace pipeserve::bindings
