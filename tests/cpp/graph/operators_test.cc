// Operators whose arguments the shared files do not vary: small models written by hand.
#include "graph/operators.h"

#include "graph/lowering.h"
#include "mindir.pb.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using mindir::AttributeProto;
using mindir::TensorProto;

// A 2.10 model of one operator on input x, whose result is y.
class OneOperator {
 public:
  OneOperator(const char* op, TensorProto::DataType dtype, std::initializer_list<int64_t> dims) {
    mindir::PrimitiveProto& primitive = *model_.add_primitives();
    primitive.set_name("op:1");
    primitive.set_op_type(op);
    mindir::ValueInfoProto& input = *model_.mutable_graph()->add_input();
    input.set_name("x");
    TensorProto& tensor = *input.add_tensor();
    tensor.set_data_type(dtype);
    for (const int64_t dim : dims) tensor.add_dims(dim);
    model_.mutable_graph()->add_output()->set_name("y");
    node_.set_op_type("REF::op:1");
    node_.add_output("y");
  }

  OneOperator& Operand(const char* edge) {
    node_.add_input(edge);
    return *this;
  }
  OneOperator& Constant(const AttributeProto& value) {
    mindir::NodeProto& node = *model_.mutable_graph()->add_node();
    const std::string edge = "c" + std::to_string(model_.graph().node_size());
    node.add_output(edge);
    node.set_op_type("Constant");
    *node.add_attribute() = value;
    node.mutable_attribute(0)->set_name("value");
    node_.add_input(edge);
    return *this;
  }
  OneOperator& Attribute(const char* name, AttributeProto value) {
    value.set_name(name);
    *model_.mutable_primitives(0)->add_attribute() = std::move(value);
    return *this;
  }
  Result<Graph> Lower() {
    *model_.mutable_graph()->add_node() = node_;
    return LowerGraph(model_, {}, {});
  }

 private:
  mindir::ModelProto model_;
  mindir::NodeProto node_;
};

AttributeProto Float(float value) {
  AttributeProto attribute;
  attribute.set_type(AttributeProto::FLOAT);
  attribute.set_f(value);
  return attribute;
}
AttributeProto Int(int64_t value) {
  AttributeProto attribute;
  attribute.set_type(AttributeProto::INT64);
  attribute.set_i(value);
  return attribute;
}
AttributeProto Tuple(std::initializer_list<int64_t> values) {
  AttributeProto attribute;
  attribute.set_type(AttributeProto::TUPLE);
  for (const int64_t value : values) *attribute.add_values() = Int(value);
  return attribute;
}
AttributeProto Text(const char* value) {
  AttributeProto attribute;
  attribute.set_type(AttributeProto::STRING);
  attribute.set_s(value);
  return attribute;
}

TEST(OperatorsTest, NumbersTakeTheDataTypeOfTheTensor) {
  const auto halves =
      OneOperator("Muls", TensorProto::FLOAT16, {2}).Operand("x").Constant(Float(0.5f)).Lower();
  ASSERT_OK(halves);
  ASSERT_EQ(halves->nodes.size(), 1u);
  EXPECT_EQ(halves->nodes[0].op, OpType::kMul);
  const Tensor& number = halves->constants.at(halves->nodes[0].inputs[1]);
  EXPECT_EQ(number.ToString(), "float16[]");
  EXPECT_EQ(*number.data_as<uint16_t>(), 0x3800);

  const auto flipped =
      OneOperator("Adds", TensorProto::INT32, {2}).Constant(Int(7)).Operand("x").Lower();
  ASSERT_OK(flipped);
  EXPECT_EQ(*flipped->constants.at(flipped->nodes[0].inputs[0]).data_as<int32_t>(), 7);

  EXPECT_ERROR(
      OneOperator("Muls", TensorProto::INT32, {2}).Operand("x").Constant(Float(0.5f)).Lower(),
      kUnimplemented, "int32");
  EXPECT_ERROR(
      OneOperator("Mul", TensorProto::FLOAT, {2}).Constant(Int(1)).Constant(Int(1)).Lower(),
      kInvalidArgument, "is no tensor");
}

TEST(OperatorsTest, BiasAddIsNchwInBothEncodings) {
  const auto model = [] {
    return OneOperator("BiasAdd", TensorProto::FLOAT, {1}).Operand("x").Operand("x");
  };
  // The operands do not fit, which is found only after the format was accepted.
  EXPECT_ERROR(model().Constant(Int(0)).Lower(), kInvalidArgument, "bias of shape");
  EXPECT_ERROR(model().Attribute("format", Text("NCHW")).Lower(), kInvalidArgument, "bias of");
  EXPECT_ERROR(model().Constant(Int(1)).Lower(), kUnimplemented, "NCHW");
  EXPECT_ERROR(model().Attribute("format", Text("NHWC")).Lower(), kUnimplemented, "NCHW");
}

TEST(OperatorsTest, SumsTakeOneAxisManyOrNone) {
  const auto sum = [] { return OneOperator("ReduceSum", TensorProto::FLOAT, {2, 3}).Operand("x"); };
  const auto shape = [](const Result<Graph>& graph) {
    return graph.ok() ? graph->info(graph->outputs[0]).ToString() : graph.status().message();
  };
  EXPECT_EQ(shape(sum().Constant(Int(1)).Constant(Int(1)).Lower()), "float32[2,1]");
  EXPECT_EQ(shape(sum().Constant(Tuple({-1, 0})).Constant(Int(0)).Lower()), "float32[]");
  EXPECT_EQ(shape(sum().Constant(Tuple({0})).Attribute("keep_dims", Int(0)).Lower()), "float32[3]");
  const auto all = [&] { return sum().Constant(Tuple({})).Constant(Int(1)); };
  EXPECT_EQ(shape(all().Lower()), "float32[1,1]");
  EXPECT_EQ(shape(all().Constant(Int(0)).Lower()), "float32[1,1]");
  EXPECT_ERROR(all().Constant(Int(1)).Lower(), kUnimplemented, "skip_mode");
  EXPECT_ERROR(sum().Constant(Int(1)).Lower(), kInvalidArgument, "has no keep_dims");
  EXPECT_ERROR(sum().Constant(Float(1)).Constant(Int(1)).Lower(), kInvalidArgument, "axis is no");
}

TEST(OperatorsTest, CastTakesItsTypeAsOperandOrAttribute) {
  AttributeProto half;
  half.set_type(AttributeProto::TENSORS);
  half.add_tensors()->set_data_type(TensorProto::FLOAT16);
  const auto cast = [] { return OneOperator("Cast", TensorProto::INT32, {2, 3}).Operand("x"); };
  const auto result = [](const Result<Graph>& graph) {
    return graph.ok() ? graph->info(graph->outputs[0]).ToString() : graph.status().message();
  };
  EXPECT_EQ(result(cast().Constant(half).Lower()), "float16[2,3]");
  EXPECT_EQ(result(cast().Constant(Int(30)).Lower()), "bool[2,3]");
  EXPECT_EQ(result(cast().Attribute("dst_type", half).Lower()), "float16[2,3]");
  EXPECT_ERROR(cast().Lower(), kInvalidArgument, "(Cast): has no dst_type");
  EXPECT_ERROR(cast().Operand("x").Lower(), kInvalidArgument, "dst_type: edge x is not constant");
  EXPECT_ERROR(cast().Constant(Int(48)).Lower(), kUnimplemented, "dst_type 48");
}

TEST(OperatorsTest, OldTransposeNamesCount) {
  const auto graph = OneOperator("MatMul", TensorProto::FLOAT, {2, 3})
                         .Operand("x")
                         .Operand("x")
                         .Attribute("transpose_x1", Int(0))
                         .Attribute("transpose_x2", Int(1))
                         .Lower();
  ASSERT_OK(graph);
  EXPECT_EQ(graph->info(graph->outputs[0]).ToString(), "float32[2,2]");
}

TEST(OperatorsTest, RefusesMissingAndMisplacedArguments) {
  const auto matmul = [] { return OneOperator("MatMul", TensorProto::FLOAT, {2, 2}).Operand("x"); };
  EXPECT_ERROR(matmul().Lower(), kInvalidArgument, "(MatMul) has 1 inputs, 2 to 4 were wanted");
  EXPECT_ERROR(matmul().Operand("x").Lower(), kInvalidArgument, "has no transpose_a");
  EXPECT_ERROR(matmul().Operand("x").Operand("x").Lower(), kInvalidArgument,
               "transpose_a: edge x is not constant");
  EXPECT_ERROR(matmul().Operand("gone").Lower(), kInvalidArgument, "nothing defines edge gone");

  const auto split = [] { return OneOperator("Split", TensorProto::FLOAT, {4}).Operand("x"); };
  for (const int64_t parts : {int64_t{0}, int64_t{-1}, int64_t{1} << 40}) {
    EXPECT_ERROR(split().Constant(Int(0)).Constant(Int(parts)).Lower(), kInvalidArgument,
                 "output_num is");
  }
  const auto two = split().Constant(Int(0)).Constant(Int(2)).Lower();
  ASSERT_OK(two);
  EXPECT_EQ(two->outputs.size(), 2u);
  EXPECT_ERROR(OneOperator("Concat", TensorProto::FLOAT, {4}).Operand("x").Constant(Int(0)).Lower(),
               kInvalidArgument, "edge x is no tuple");
  EXPECT_ERROR(OneOperator("AllReduce", TensorProto::FLOAT, {4})
                   .Operand("x")
                   .Attribute("op", Text("max"))
                   .Lower(),
               kUnimplemented, "reduction max");
  EXPECT_ERROR(OneOperator("AllGather", TensorProto::FLOAT, {4}).Operand("x").Lower(),
               kInvalidArgument, "has no group");
}

}  // namespace
}  // namespace pipeserve
