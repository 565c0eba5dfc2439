#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "bindings/bind.h"
#include "bindings/convert.h"
#include "bindings/errors.h"
#include "bindings/gil.h"
#include "bindings/types.h"
#include "pipeserve/graph_builder.h"

namespace pipeserve::bindings {
namespace {

using Value = GraphBuilder::Value;
using Dims = std::vector<int64_t>;

Shape ToShape(const Dims& dims) { return Unwrap(Shape::Create(dims)); }

Value Input(GraphBuilder& graph, const std::string& name, const py::dtype& dtype,
            const Dims& shape) {
  return Unwrap(graph.Input(name, ToDataType(dtype), ToShape(shape)));
}

Value Parameter(GraphBuilder& graph, const std::string& name, const AnyArray& weight) {
  return Unwrap(graph.Parameter(name, Unwrap(ToTensor(weight))));
}

Value MatMul(GraphBuilder& graph, Value a, Value b, bool transpose_a, bool transpose_b,
             const ShardStrategy& strategy) {
  return Unwrap(graph.MatMul(a, b, transpose_a, transpose_b, strategy));
}

using UnaryOperator = Result<Value> (GraphBuilder::*)(Value, const ShardStrategy&);
using BinaryOperator = Result<Value> (GraphBuilder::*)(Value, Value, const ShardStrategy&);

auto Unary(UnaryOperator function) {
  return [function](GraphBuilder& graph, Value x, const ShardStrategy& strategy) {
    return Unwrap((graph.*function)(x, strategy));
  };
}

auto Binary(BinaryOperator function) {
  return [function](GraphBuilder& graph, Value a, Value b, const ShardStrategy& strategy) {
    return Unwrap((graph.*function)(a, b, strategy));
  };
}

Value Cast(GraphBuilder& graph, Value x, const py::dtype& dtype, const ShardStrategy& strategy) {
  return Unwrap(graph.Cast(x, ToDataType(dtype), strategy));
}

Value StridedSlice(GraphBuilder& graph, Value x, const Dims& begin, const Dims& end,
                   const Dims& strides, const std::vector<int64_t>& masks) {
  const StridedSliceMasks bits{masks.at(0), masks.at(1), masks.at(2), masks.at(3), masks.at(4)};
  return Unwrap(graph.StridedSlice(x, begin, end, strides, bits));
}

py::typing::Tuple<py::dtype, DimsTuple> Info(const GraphBuilder& graph, Value x) {
  const TensorInfo info = Unwrap(graph.Info(x));
  return py::make_tuple(ToDtype(info.dtype),
                        py::tuple(py::cast(Dims(info.shape.begin(), info.shape.end()))));
}

void BindOperators(py::class_<GraphBuilder>& builder) {
  const auto x = py::arg("x");
  const auto a = py::arg("a");
  const auto b = py::arg("b");
  const auto strategy = py::arg("strategy");
  builder.def("matmul", &MatMul, a, b, py::arg("transpose_a"), py::arg("transpose_b"), strategy)
      .def("neg", Unary(&GraphBuilder::Neg), x, strategy)
      .def("relu", Unary(&GraphBuilder::ReLU), x, strategy)
      .def("add", Binary(&GraphBuilder::Add), a, b, strategy)
      .def("sub", Binary(&GraphBuilder::Sub), a, b, strategy)
      .def("mul", Binary(&GraphBuilder::Mul), a, b, strategy)
      .def("bias_add", Binary(&GraphBuilder::BiasAdd), x, py::arg("bias"), strategy)
      .def("cast", &Cast, x, py::arg("dtype"), strategy)
      .def(
          "reshape",
          [](GraphBuilder& graph, Value value, const Dims& dims) {
            return Unwrap(graph.Reshape(value, dims));
          },
          x, py::arg("dims"))
      .def(
          "transpose",
          [](GraphBuilder& graph, Value value, const Dims& perm) {
            return Unwrap(graph.Transpose(value, perm));
          },
          x, py::arg("perm"))
      .def(
          "concat",
          [](GraphBuilder& graph, const std::vector<Value>& parts, int64_t axis) {
            return Unwrap(graph.Concat(parts, axis));
          },
          py::arg("parts"), py::arg("axis"))
      .def(
          "split",
          [](GraphBuilder& graph, Value value, int64_t axis, int64_t count) {
            return Unwrap(graph.Split(value, axis, count));
          },
          x, py::arg("axis"), py::arg("count"))
      .def("strided_slice", &StridedSlice, x, py::arg("begin"), py::arg("end"), py::arg("strides"),
           py::arg("masks"));
}

}  // namespace

void BindGraphBuilder(py::module_& m) {
  py::class_<GraphBuilder> builder(m, "GraphBuilder");
  builder.def(py::init<std::string>(), py::arg("name"))
      .def("input", &Input, py::arg("name"), py::arg("dtype"), py::arg("shape"))
      .def("parameter", &Parameter, py::arg("name"), py::arg("weight"))
      .def(
          "output", [](GraphBuilder& graph, Value x) { Unwrap(graph.Output(x)); }, py::arg("x"))
      .def("info", &Info, py::arg("x"))
      .def("set_stage", &GraphBuilder::SetStage, py::arg("stage"))
      .def(
          "save",
          [](const GraphBuilder& graph, const std::string& path) {
            Unwrap(WithoutGil([&] { return graph.Save(path); }));
          },
          py::arg("path"))
      .def(
          "save_sharded",
          [](const GraphBuilder& graph, const std::string& directory, int rank_size, int stages,
             bool all_stages_take_inputs) {
            const StageOptions options{.stages = stages,
                                       .all_stages_take_inputs = all_stages_take_inputs};
            Unwrap(WithoutGil([&] { return graph.SaveSharded(directory, rank_size, options); }));
          },
          py::arg("directory"), py::arg("rank_size"), py::arg("stages"),
          py::arg("all_stages_take_inputs"));
  BindOperators(builder);
}

}  // namespace pipeserve::bindings
