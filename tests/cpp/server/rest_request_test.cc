#include "server/rest_request.h"

#include <gtest/gtest.h>

#include "support/matchers.h"

namespace pipeserve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

Result<Tensor> ParseValue(const std::string& json) {
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<NamedInstance> instances,
                             ParseRestBody("{\"instances\": {\"x\": " + json + "}}"));
  return instances[0][0].second;
}

std::string TypeOf(const std::string& json) {
  const Result<Tensor> tensor = ParseValue(json);
  return tensor.ok() ? tensor->ToString() : tensor.status().message();
}

TEST(RestRequestTest, ValuesBecomeTheOriginalsTypes) {
  EXPECT_EQ(TypeOf("7"), "int32[]");
  EXPECT_EQ(TypeOf("-7"), "int32[]");
  EXPECT_EQ(TypeOf("7.0"), "float32[]");
  EXPECT_EQ(TypeOf("1e3"), "float32[]");
  EXPECT_EQ(TypeOf("true"), "bool[]");
  EXPECT_EQ(TypeOf("\"text\""), "string[]");
  EXPECT_EQ(TypeOf("[1, 2, 3]"), "int32[3]");
  EXPECT_EQ(TypeOf("[[1.5, 2.5], [3.5, 4.5], [5.5, 6.5]]"), "float32[3,2]");
  EXPECT_EQ(TypeOf("[[true], [false]]"), "bool[2,1]");
  EXPECT_EQ(TypeOf("[\"text\"]"), "string[1]");
  EXPECT_EQ(TypeOf("[{\"b64\": \"AAE=\"}]"), "bytes[1]");
}

TEST(RestRequestTest, NumbersKeepTheirOrder) {
  const Result<Tensor> ints = ParseValue("[[[1, 2], [3, 4]], [[5, 6], [7, -8]]]");
  ASSERT_OK(ints);
  EXPECT_THAT(std::vector<int32_t>(ints->data_as<int32_t>(), ints->data_as<int32_t>() + 8),
              ElementsAre(1, 2, 3, 4, 5, 6, 7, -8));
  const Result<Tensor> floats = ParseValue("[0.5, -1e-3]");
  ASSERT_OK(floats);
  EXPECT_EQ(floats->data_as<float>()[0], 0.5f);
  EXPECT_EQ(floats->data_as<float>()[1], -1e-3f);
}

TEST(RestRequestTest, InstancesAreAnObjectOrAListOfObjects) {
  for (const auto& [body, count] : std::vector<std::pair<std::string, size_t>>{
           {R"({"instances": {"x": 1}})", 1},
           {R"({"instances": [{"x": 1}]})", 1},
           {R"({"other": [[1]], "instances": [{"x": 1}, {"x": 2, "y": 3}]})", 2}}) {
    const auto instances = ParseRestBody(body);
    ASSERT_OK(instances);
    EXPECT_THAT(*instances, SizeIs(count));
  }
}

TEST(RestRequestTest, BadInstancesAreRefusedInTheOriginalsWords) {
  for (const auto& [body, fragment] : std::vector<std::pair<std::string, std::string>>{
           {"{}", "key 'instances' expects to exist once, but actually 0 times"},
           {"[1]", "key 'instances' expects to exist once, but actually 0 times"},
           {R"({"instances": 1, "instances": 2})", "expects to exist once, but actually 2 times"},
           {R"({"instances": 1})", "instances no key mode is not supported"},
           {R"({"instances": "a"})", "instances no key mode is not supported"},
           {R"({"instances": null})", "instances no key mode is not supported"},
           {R"({"instances": [1, 2]})", "instances no key mode is not supported"},
           {R"({"instances": []})", "instances value is array type, but no value"},
           {R"({"instances": {}})", "json object, value is empty"},
           {R"({"instances": [{"x": 1}, 2]})", "json array, instance is not object type"},
           {R"({"instances": [{}]})", "json array, instance is object type, but no value"},
           {R"({"instances": {"": 1}})", "string key is empty"}}) {
    SCOPED_TRACE(body);
    EXPECT_ERROR(ParseRestBody(body), kInvalidArgument, "Parser request failed, ");
    EXPECT_ERROR(ParseRestBody(body), kInvalidArgument, fragment);
  }
}

TEST(RestRequestTest, WhatIsNotJsonIsIllegal) {
  for (const std::string& body :
       {std::string("{"), std::string("{\"instances\": [1,}"), std::string("hello"),
        std::string(5000, '['), std::string("{\"instances\": \"\xff\"}"), std::string(" ")}) {
    EXPECT_ERROR(ParseRestBody(body), kInvalidArgument, "Illegal JSON format.");
  }
}

TEST(RestRequestTest, DepthIsLimited) {
  const auto nested = [](size_t depth) {
    return std::string(depth, '[') + "1" + std::string(depth, ']');
  };
  EXPECT_THAT(ParseRestBody("{\"other\": " + nested(62) + "}").status().message(),
              HasSubstr("key 'instances' expects to exist once"));
  for (const size_t depth : {64, 100'000}) {
    EXPECT_ERROR(ParseRestBody("{\"other\": " + nested(depth) + "}"), kInvalidArgument,
                 "Illegal JSON format. ");
  }
}

TEST(RestRequestTest, BadValuesAreRefusedInTheOriginalsWords) {
  for (const auto& [json, fragment] : std::vector<std::pair<std::string, std::string>>{
           {"null", "json value is null, it is not supported"},
           {"[]", "json array, shape is empty"},
           {"[[], []]", "json array, data should be number, bool, string or bytes"},
           {"[null]", "json array, data should be number, bool, string or bytes"},
           {"[[1], 2]", "invalid json array: json type is not array"},
           {"[[1, 2], [3]]", "invalid json array: json size is 1, the dim 1 expected to be 2"},
           {"[1, 2.5]", "json array, elements type is not equal"},
           {"[1, true]", "json array, elements type is not equal"},
           {"[1, [2]]", "json array, elements type is not equal"},
           {"[\"a\", \"b\"]", "json array, string or bytes type only support one item"},
           {"[[\"a\"]]", "shape can only be (1,) or empty, but given shape is [1, 1]"},
           {"3000000000", "json value 3000000000 is out of range"},
           {"[[[[[[[[[1]]]]]]]]]", "more than 8 dimensions"}}) {
    SCOPED_TRACE(json);
    EXPECT_ERROR(ParseValue(json), kInvalidArgument, "Parser request failed, ");
    EXPECT_ERROR(ParseValue(json), kInvalidArgument, fragment);
  }
}

// The first list of a level may be long and the others short: nothing may be allocated for the
// product of what the first ones promise.
TEST(RestRequestTest, ARaggedListDoesNotAllocateWhatItPromises) {
  std::string inner = "[0";
  for (int i = 1; i < 100'000; ++i) inner += ",0";
  std::string json = "[" + inner + "]";
  for (int i = 1; i < 100'000; ++i) json += ",[0]";
  EXPECT_ERROR(ParseValue(json + "]"), kInvalidArgument, "the dim 1 expected to be 100000");
}

TEST(RestRequestTest, Base64ObjectsAreTensorsOfTheirType) {
  EXPECT_EQ(TypeOf(R"({"b64": "AAE="})"), "bytes[]");
  EXPECT_EQ(TypeOf(R"({"b64": ""})"), "bytes[]");
  EXPECT_EQ(TypeOf(R"({"b64": "aGk=", "type": "str"})"), "string[]");
  EXPECT_EQ(TypeOf(R"({"b64": "aGk=", "type": "str", "shape": [1]})"), "string[1]");
  EXPECT_EQ(TypeOf(R"({"b64": "AAAAAAAAAAA=", "type": "int32", "shape": [2, 1]})"), "int32[2,1]");
  EXPECT_EQ(TypeOf(R"({"b64": "AAA=", "type": "fp16"})"), "float16[]");
  EXPECT_EQ(TypeOf(R"({"b64": "AAA=", "type": "float16"})"), "float16[]");
  EXPECT_EQ(TypeOf(R"({"b64": "", "type": "fp64", "shape": [3, 0]})"), "float64[3,0]");
  const Result<Tensor> bytes = ParseValue(R"({"b64": "AAEC/w=="})");
  ASSERT_OK(bytes);
  EXPECT_THAT(bytes->Strings(), ElementsAre(std::string_view("\x00\x01\x02\xff", 4)));
}

TEST(RestRequestTest, BadBase64ObjectsAreRefusedInTheOriginalsWords) {
  for (const auto& [json, fragment] : std::vector<std::pair<std::string, std::string>>{
           {R"({"b64": "AA==", "key": 1})",
            "json object, key is not ['b64', 'type', 'shape'], fail key:key"},
           {R"({"b64": "AA==", "type": "int8", "shape": [], "type": "int8"})",
            "items size is more than 3"},
           {R"({"type": "int8"})", "'b64' should be specified only one time"},
           {R"({"b64": "AA==", "b64": "AA=="})", "'b64' should be specified only one time"},
           {R"({})", "'b64' should be specified only one time"},
           {R"({"b64": "AA==", "type": "int5"})", "json object, specified type:'int5' is illegal"},
           {R"({"b64": "AA==", "type": 5})",
            "json object, key is 'type', value should be string type"},
           {R"({"b64": "AA==", "shape": 5})",
            "json object, key is 'shape', value should be array type"},
           {R"({"b64": "AA==", "type": "int8", "shape": [-1]})",
            "json object, key is 'shape', array value should be unsigned integer"},
           {R"({"b64": "AA==", "type": "int8", "shape": ["a"]})",
            "json object, key is 'shape', array value should be unsigned integer"},
           {R"({"b64": "AA==", "type": "int8", "shape": [0, 1]})",
            "json object, key is 'shape', invalid shape value"},
           {R"({"b64": "AA==", "type": "int8", "shape": [9000000000000000000, 9]})",
            "json object, key is 'shape', invalid shape value"},
           {R"({"b64": "AA==", "type": "bytes", "shape": [2]})",
            "json object, only support scalar when data type is string or bytes, please check"},
           {R"({"b64": 5})", "get scalar data failed, type is string, but json is not string"},
           {R"({"b64": "A"})", "'A' is illegal b64 encode string"},
           {R"({"b64": "A=A="})", "'A=A=' is illegal b64 encode string"},
           {R"({"b64": "A!A="})", "'A!A=' is illegal b64 encode string"},
           {R"({"b64": "AA==", "type": "int32"})",
            "size is not matched, decode base64 size:1; Given info: type:int32; type size:4; "
            "element nums:1"}}) {
    SCOPED_TRACE(json);
    EXPECT_ERROR(ParseValue(json), kInvalidArgument, "Parser request failed, ");
    EXPECT_ERROR(ParseValue(json), kInvalidArgument, fragment);
  }
}

}  // namespace
}  // namespace pipeserve
