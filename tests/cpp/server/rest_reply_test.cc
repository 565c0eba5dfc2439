#include "server/rest_reply.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "support/matchers.h"

namespace pipeserve {
namespace {

std::string Write(const Tensor& tensor) {
  const std::vector<std::string> names = {"y"};
  const std::vector<Result<Instance>> instances = {Instance{tensor}};
  const Result<std::string> body = WriteRestReply(names, instances);
  if (!body.ok()) return body.status().message();
  const std::string before = "{\"instances\": [{\"y\": ";
  EXPECT_EQ(body->substr(0, before.size()), before);
  return body->substr(before.size(), body->size() - before.size() - 3);
}

TEST(RestReplyTest, NumbersFollowTheShape) {
  EXPECT_EQ(Write(Tensor::Of<int32_t>({}, {7})), "7");
  EXPECT_EQ(Write(Tensor::Of<int8_t>({3}, {-1, 0, 1})), "[-1,0,1]");
  EXPECT_EQ(Write(Tensor::Of<uint8_t>({1}, {255})), "[255]");
  EXPECT_EQ(Write(Tensor::Of<int64_t>({2, 2}, {1, 2, 3, 4})), "[[1,2],[3,4]]");
  EXPECT_EQ(Write(Tensor::Of<uint64_t>({}, {std::numeric_limits<uint64_t>::max()})),
            "18446744073709551615");
  EXPECT_EQ(Write(Tensor::Of<bool>({2}, {true, false})), "[true,false]");
  EXPECT_EQ(Write(Tensor(DataType::kInt32, Shape{2, 0})), "[[],[]]");
}

TEST(RestReplyTest, FloatsAreShortAndLookLikeFloats) {
  EXPECT_EQ(Write(Tensor::Of<float>({3}, {1.0f, 0.1f, -2.5e-8f})), "[1.0,0.1,-2.5e-08]");
  EXPECT_EQ(Write(Tensor::Of<double>({}, {0.1})), "0.1");
  EXPECT_EQ(Write(Tensor::Of<float>({3}, {NAN, INFINITY, -INFINITY})), "[NaN,Infinity,-Infinity]");
  Tensor half(DataType::kFloat16, Shape{5});
  const uint16_t bits[] = {0x3c00, 0xc000, 0x0001, 0x7c00, 0x3555};
  std::memcpy(half.mutable_data(), bits, sizeof(bits));
  EXPECT_EQ(Write(half), "[1.0,-2.0,5.9604645e-08,Infinity,0.33325195]");
}

TEST(RestReplyTest, TextIsAStringOrBase64) {
  EXPECT_EQ(Write(Tensor::FromString(DataType::kString, "a\"b\\c\n\x01é")),
            "\"a\\\"b\\\\c\\u000a\\u0001é\"");
  EXPECT_EQ(Write(Tensor::FromString(DataType::kBytes, "hi")), "{\"b64\": \"aGk=\"}");
  EXPECT_EQ(Write(Tensor::FromString(DataType::kBytes, "")), "{\"b64\": \"\"}");
  const std::string_view items[] = {"a", "b"};
  EXPECT_EQ(Write(Tensor::FromStrings(DataType::kString, {2}, items)), "[\"a\",\"b\"]");
}

TEST(RestReplyTest, WhatCannotBeWrittenIsAnError) {
  const std::string_view items[] = {"a", "b"};
  for (const Tensor& tensor : {Tensor(), Tensor::FromString(DataType::kString, "\xff"),
                               Tensor::FromStrings(DataType::kString, {1, 2}, items),
                               Tensor(DataType::kInt8, Shape{1'000'000'000'000, 0})}) {
    EXPECT_THAT(Write(tensor), ::testing::StartsWith("Parse reply failed, output y: "));
  }
}

TEST(RestReplyTest, AFailedInstanceIsAnErrorInItsPlace) {
  const std::vector<std::string> names = {"y", "z"};
  const std::vector<Result<Instance>> instances = {
      Instance{Tensor::Of<int32_t>({}, {1}), Tensor::Of<int32_t>({}, {2})},
      InvalidArgument("Pipeline \"Failed\"")};
  const Result<std::string> body = WriteRestReply(names, instances);
  ASSERT_OK(body);
  EXPECT_EQ(*body,
            "{\"instances\": [{\"y\": 1,\"z\": 2}, {\"error_msg\": \"Pipeline \\\"Failed\\\"\"}]}");
}

TEST(RestReplyTest, AMessageThatIsNotUtf8StaysReadable) {
  EXPECT_EQ(WriteRestError("method \xff ä"), "{\"error_msg\": \"method ? ??\"}");
}

}  // namespace
}  // namespace pipeserve
