#include "graph/literals.h"

#include <cmath>

#include "mindir.pb.h"
#include "support/matchers.h"

namespace pipeserve {
namespace {

using mindir::AttributeProto;
using testing::ElementsAre;

AttributeProto Referring(const char* reference, std::initializer_list<int64_t> ints) {
  AttributeProto attribute;
  attribute.set_ref_attr_name(reference);
  for (const int64_t item : ints) attribute.add_ints(item);
  return attribute;
}

TEST(LiteralsTest, NestingOf1xTakesLeavesInOrder) {
  const auto flat = LiteralOf(Referring("scalar:Tuple[value1,value2,],", {5, -6}));
  ASSERT_OK(flat);
  EXPECT_THAT(*IntsOf(*flat, "flat"), ElementsAre(5, -6));

  const auto nested =
      LiteralOf(Referring("scalar:Tuple[Tuple[value1,value2,],List[value3,],],", {1, 8, 9}));
  ASSERT_OK(nested);
  const auto& items = std::get<Literal::List>(nested->value);
  ASSERT_EQ(items.size(), 2u);
  EXPECT_THAT(*IntsOf(items[0], "first"), ElementsAre(1, 8));
  EXPECT_THAT(*IntsOf(items[1], "second"), ElementsAre(9));

  const auto empty = LiteralOf(Referring("scalar:Tuple[],", {}));
  ASSERT_OK(empty);
  EXPECT_THAT(*IntsOf(*empty, "empty"), ElementsAre());

  AttributeProto lone;
  lone.set_ref_attr_name("scalar:value0");
  lone.set_i(-3);
  EXPECT_EQ(*IntOf(*LiteralOf(lone), "lone"), -3);
}

TEST(LiteralsTest, RefusesNestingThatDoesNotFitItsLeaves) {
  const std::string deep = "scalar:" + std::string(100000, 'x');
  std::string deeper = "scalar:";
  for (int i = 0; i < 100000; ++i) deeper += "Tuple[";
  for (const std::string& text :
       {std::string("scalar:Tuple[value1,],"), std::string("scalar:Tuple[value1,value2,value3,],"),
        std::string("scalar:Tuple[value1,value2,"), std::string("scalar:Tuple[,,],"),
        std::string("scalar:]"), std::string("scalar:"), deep, deeper}) {
    EXPECT_ERROR(LiteralOf(Referring(text.c_str(), {1, 2})), kInvalidArgument, "nesting");
  }
  EXPECT_ERROR(LiteralOf(Referring("graph:x", {1})), kUnimplemented, "graph:x");
}

TEST(LiteralsTest, TypesOf2xNest) {
  AttributeProto tuple;
  tuple.set_type(AttributeProto::TUPLE);
  for (const int64_t item : {7, 8}) {
    AttributeProto& value = *tuple.add_values();
    value.set_type(AttributeProto::INT64);
    value.add_ints(item);
  }
  EXPECT_THAT(*IntsOf(*LiteralOf(tuple), "tuple"), ElementsAre(7, 8));

  AttributeProto text;
  text.set_type(AttributeProto::STRING);
  text.set_s("sum");
  EXPECT_EQ(std::get<std::string>(LiteralOf(text)->value), "sum");
  EXPECT_ERROR(IntOf(*LiteralOf(text), "axis"), kInvalidArgument, "axis is no constant integer");

  AttributeProto monad;
  monad.set_type(AttributeProto::UMONAD);
  EXPECT_TRUE(std::holds_alternative<std::monostate>(LiteralOf(monad)->value));

  AttributeProto other;
  other.set_type(AttributeProto::CLASS_TYPE);
  EXPECT_ERROR(LiteralOf(other), kUnimplemented, "CLASS_TYPE");
  AttributeProto nothing;
  nothing.set_type(AttributeProto::INT64);
  EXPECT_ERROR(LiteralOf(nothing), kInvalidArgument, "no value");
}

TEST(LiteralsTest, TensorsHoldTheirBytesAgainstTheirShape) {
  AttributeProto attribute;
  attribute.set_type(AttributeProto::TENSORS);
  mindir::TensorProto& tensor = *attribute.add_tensors();
  tensor.add_dims(2);
  tensor.set_data_type(mindir::TensorProto::INT32);
  tensor.set_raw_data(std::string("\x05\0\0\0\xFF\xFF\xFF\xFF", 8));
  EXPECT_THAT(*IntsOf(*LiteralOf(attribute), "tensor"), ElementsAre(5, -1));
  tensor.set_raw_data("short");
  EXPECT_ERROR(LiteralOf(attribute), kInvalidArgument, "takes 8 bytes, 5 came");
}

TEST(LiteralsTest, DataTypesComeAsTensorsWithoutBytesAndAsNumbers) {
  AttributeProto attribute;
  attribute.set_type(AttributeProto::TENSORS);
  mindir::TensorProto& tensor = *attribute.add_tensors();
  tensor.set_name("value0");
  for (const bool has_reference : {false, true}) {  // 2.x and 1.x.
    if (has_reference) attribute.set_ref_attr_name("type:value0");
    tensor.set_data_type(mindir::TensorProto::FLOAT16);
    EXPECT_EQ(*DataTypeOf(*LiteralOf(attribute), "dst_type"), DataType::kFloat16);
    tensor.set_data_type(mindir::TensorProto::BOOL);
    EXPECT_EQ(*DataTypeOf(*LiteralOf(attribute), "dst_type"), DataType::kBool);
    tensor.set_data_type(mindir::TensorProto::BFLOAT16);
    EXPECT_ERROR(LiteralOf(attribute), kUnimplemented, "data type BFLOAT16");
  }
  attribute.clear_tensors();
  EXPECT_ERROR(LiteralOf(attribute), kInvalidArgument, "has no value");

  EXPECT_EQ(*DataTypeOf(Literal{int64_t{43}}, "dst_type"), DataType::kFloat32);
  EXPECT_EQ(*DataTypeOf(Literal{int64_t{34}}, "dst_type"), DataType::kInt32);
  EXPECT_ERROR(DataTypeOf(Literal{int64_t{45}}, "dst_type"), kUnimplemented,
               "dst_type 45 is no data type that is supported");
  EXPECT_ERROR(DataTypeOf(Literal{0.5}, "dst_type"), kInvalidArgument, "dst_type is no data type");
}

TEST(LiteralsTest, NumbersBecomeScalarsOfTheOtherOperand) {
  const Literal half{0.5}, whole{int64_t{3}};
  EXPECT_EQ(*ScalarTensor(half, DataType::kFloat32)->data_as<float>(), 0.5f);
  EXPECT_EQ(*ScalarTensor(whole, DataType::kInt32)->data_as<int32_t>(), 3);
  EXPECT_ERROR(ScalarTensor(half, DataType::kInt32), kUnimplemented, "int32");
  EXPECT_ERROR(ScalarTensor(Literal{int64_t{1} << 40}, DataType::kInt32), kUnimplemented, "int32");
  EXPECT_ERROR(ScalarTensor(Literal{}, DataType::kFloat32), kInvalidArgument, "no number");
}

TEST(LiteralsTest, HalvesRoundToTheNearest) {
  const auto bits = [](double number) {
    return *ScalarTensor(Literal{number}, DataType::kFloat16)->data_as<uint16_t>();
  };
  EXPECT_EQ(bits(1.0), 0x3C00);
  EXPECT_EQ(bits(-2.0), 0xC000);
  EXPECT_EQ(bits(0.1), 0x2E66);
  EXPECT_EQ(bits(65504.0), 0x7BFF);
  EXPECT_EQ(bits(65519.9), 0x7BFF);
  EXPECT_EQ(bits(65520.0), 0x7C00);
  EXPECT_EQ(bits(-1e30), 0xFC00);
  EXPECT_EQ(bits(std::ldexp(1.0, -24)), 0x0001);
  EXPECT_EQ(bits(std::ldexp(1.0, -25)), 0x0000);
  EXPECT_EQ(bits(std::ldexp(1.0, -14)), 0x0400);
  EXPECT_EQ(bits(1.0 + std::ldexp(1.0, -11)), 0x3C00);      // A tie, down to even.
  EXPECT_EQ(bits(1.0 + 3 * std::ldexp(1.0, -11)), 0x3C02);  // A tie, up to even.
}

}  // namespace
}  // namespace pipeserve
