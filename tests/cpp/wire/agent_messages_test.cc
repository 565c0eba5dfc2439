#include "wire/agent_messages.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "base/counters.h"
#include "support/matchers.h"
#include "support/mutator.h"

namespace pipeserve {
namespace {

proto::Tensor FloatMessage(std::initializer_list<int64_t> shape, size_t bytes) {
  proto::Tensor message;
  message.set_dtype(proto::DATA_TYPE_FLOAT32);
  message.mutable_shape()->Add(shape.begin(), shape.end());
  message.set_data(std::string(bytes, '\0'));
  return message;
}

TEST(AgentMessagesTest, TensorSurvivesTheRoundTrip) {
  for (const Tensor& tensor :
       {Tensor::Of<float>({2, 3}, {1, 2, 3, 4, 5, 6}), Tensor::Of<int64_t>({}, {-7}),
        Tensor::Of<bool>({1}, {true}), Tensor(DataType::kFloat16, {0, 4})}) {
    proto::Tensor message;
    TensorToProto(tensor, &message);

    const Result<Tensor> back = TensorFromProto(message);

    ASSERT_OK(back);
    EXPECT_EQ(back->dtype(), tensor.dtype());
    EXPECT_EQ(back->shape(), tensor.shape());
    EXPECT_TRUE(std::ranges::equal(back->buffer().bytes(), tensor.buffer().bytes()));
  }
}

TEST(AgentMessagesTest, InputsMergeWithTheRestOfTheCall) {
  proto::ServerMessage rest;
  rest.mutable_run_call()->set_sequence(7);
  const Tensor x = Tensor::Of<float>({2}, {1, 2});
  const std::string inputs = EncodeInputs(std::span(&x, 1));

  proto::ServerMessage whole;
  ASSERT_TRUE(whole.ParseFromString(rest.SerializeAsString() + inputs));

  EXPECT_EQ(whole.run_call().sequence(), 7u);
  const auto tensors = TensorsFromProto(whole.run_call().inputs());
  ASSERT_OK(tensors);
  ASSERT_EQ(tensors->size(), 1u);
  EXPECT_EQ(tensors->at(0).data_as<float>()[1], 2);
}

TEST(AgentMessagesTest, InputsOfAnySizeAreCopiedOnce) {
  std::vector<Tensor> inputs = {Tensor(DataType::kFloat32, {40, 50}), Tensor::Of<int64_t>({}, {-7}),
                                Tensor(DataType::kFloat16, {0, 4}),
                                Tensor(DataType::kInt32, {3, 1000})};
  size_t bytes = 0;
  for (Tensor& input : inputs) {
    std::memset(input.mutable_data(), 1 + static_cast<int>(bytes % 100), input.byte_size());
    bytes += input.byte_size();
  }
  const uint64_t copied = Counters::Global().copied_bytes;
  const std::string encoded = EncodeInputs(inputs);
  EXPECT_EQ(Counters::Global().copied_bytes - copied, bytes);
  proto::ServerMessage message;
  ASSERT_TRUE(message.ParseFromString(encoded));
  const auto decoded = TensorsFromProto(message.run_call().inputs());
  ASSERT_OK(decoded);
  ASSERT_EQ(decoded->size(), inputs.size());
  for (size_t i = 0; i < inputs.size(); ++i) {
    EXPECT_EQ((*decoded)[i].ToString(), inputs[i].ToString());
    EXPECT_TRUE(std::ranges::equal((*decoded)[i].buffer().bytes(), inputs[i].buffer().bytes()));
  }
}

TEST(AgentMessagesTest, InputsHaveToFitTheLink) {
  // Several times the same bytes: no half a gigabyte is needed.
  const Tensor large(DataType::kUint8, {64 << 20});
  EXPECT_ERROR(CheckInputsSize(std::vector<Tensor>(8, large)), kInvalidArgument, "536870912");
}

TEST(AgentMessagesTest, EveryNumericTypeKeepsItsNumber) {
  for (int number = 1; number <= static_cast<int>(DataType::kFloat64); ++number) {
    const auto dtype = static_cast<DataType>(number);
    proto::Tensor message;
    TensorToProto(Tensor(dtype, {1}), &message);
    ASSERT_OK(TensorFromProto(message));
    EXPECT_EQ(TensorFromProto(message)->dtype(), dtype);
    std::string name = proto::DataType_Name(message.dtype());
    for (char& c : name) c = static_cast<char>(std::tolower(c));
    EXPECT_EQ(name, "data_type_" + std::string(DataTypeName(dtype)));
  }
}

TEST(AgentMessagesTest, BytesMustFitTheShape) {
  EXPECT_ERROR(TensorFromProto(FloatMessage({2, 2}, 15)), kInvalidArgument,
               "float32[2,2] came with 15 bytes");
  EXPECT_ERROR(TensorFromProto(FloatMessage({2, 2}, 0)), kInvalidArgument, "0 bytes");
  EXPECT_ERROR(TensorFromProto(FloatMessage({-1}, 4)), kInvalidArgument, "float32[?]");
}

TEST(AgentMessagesTest, HostileShapesAreRefusedWithoutAllocating) {
  const int64_t huge = std::numeric_limits<int64_t>::max();
  EXPECT_ERROR(TensorFromProto(FloatMessage({huge, huge}, 4)), kInvalidArgument, "4 bytes");
  EXPECT_ERROR(TensorFromProto(FloatMessage({huge}, 4)), kInvalidArgument, "4 bytes");
  EXPECT_ERROR(TensorFromProto(FloatMessage({int64_t{1} << 62}, 0)), kInvalidArgument, "0 bytes");
  EXPECT_ERROR(TensorFromProto(FloatMessage({-2}, 4)), kInvalidArgument, "negative");
  EXPECT_ERROR(TensorFromProto(FloatMessage({1, 1, 1, 1, 1, 1, 1, 1, 1}, 4)), kInvalidArgument,
               "9 dimensions");
}

TEST(AgentMessagesTest, UnknownDataTypesAreRefused) {
  for (const int number : {0, 13, 14, 99, -1}) {
    proto::Tensor message = FloatMessage({1}, 4);
    message.set_dtype(static_cast<proto::DataType>(number));
    EXPECT_ERROR(TensorFromProto(message), kInvalidArgument, "data type");
  }
}

TEST(AgentMessagesTest, ErrorOfOneOfManyTensorsNamesItsIndex) {
  RepeatedTensor messages;
  *messages.Add() = FloatMessage({1}, 4);
  *messages.Add() = FloatMessage({1}, 3);
  EXPECT_ERROR(TensorsFromProto(messages), kInvalidArgument, "tensor 1: ");
}

TEST(AgentMessagesTest, SignatureKeepsNamesUnknownDimensionsAndMessages) {
  const GraphSignature signature{
      .inputs = {{"x", DataType::kFloat32, {Shape::kUnknownDim, 96}}, {"n", DataType::kInt32, {}}},
      .outputs = {{"y", DataType::kFloat16, {4}}},
      .messages = {{true, 3, 7, DataType::kInt32, {2, 5}}, {false, 0, 8, DataType::kBool, {}}}};
  proto::GraphSignature message;
  SignatureToProto(signature, &message);

  const Result<GraphSignature> back = SignatureFromProto(message);

  ASSERT_OK(back);
  EXPECT_EQ(*back, signature);
}

TEST(AgentMessagesTest, SignatureErrorNamesTheOutput) {
  proto::GraphSignature message;
  message.add_outputs()->set_dtype(proto::DATA_TYPE_BOOL);
  message.add_outputs()->set_dtype(proto::DATA_TYPE_UNSPECIFIED);
  EXPECT_ERROR(SignatureFromProto(message), kInvalidArgument, "output 1: data type 0");
  message.clear_outputs();
  message.add_messages()->set_tag(4);
  EXPECT_ERROR(SignatureFromProto(message), kInvalidArgument, "message 4: data type 0");
}

TEST(AgentMessagesTest, SignatureOfOverflowingSizeIsRefused) {
  proto::GraphSignature message;
  proto::TensorInfo* info = message.add_inputs();
  info->set_dtype(proto::DATA_TYPE_FLOAT64);
  info->add_shape(std::numeric_limits<int64_t>::max());
  EXPECT_ERROR(SignatureFromProto(message), kInvalidArgument, "too large");
}

TEST(AgentMessagesTest, DamagedMessagesAreReadOrRefusedWithAText) {
  constexpr std::string_view kTokens[] = {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                                          "\xff\xff\xff\xff\x0f", "\x08", "\x12", "\x1a"};
  proto::RegisterRequest seed;
  SignatureToProto({.inputs = {{"x", DataType::kFloat32, {2, 3}}}, .outputs = {}},
                   seed.add_graphs());
  proto::RunCall call;
  TensorToProto(Tensor::Of<float>({2, 2}, {1, 2, 3, 4}), call.add_inputs());
  TensorToProto(Tensor::Of<int64_t>({}, {7}), call.add_inputs());
  Mutator mutator(kTokens);
  int read = 0, refused = 0;
  const auto count = [&](const auto& result) {
    ++(result.ok() ? read : refused);
    EXPECT_TRUE(result.ok() || result.status().code() == StatusCode::kInvalidArgument);
  };
  for (int i = 0; i < DamagedInputs(20'000) && !HasFailure(); ++i) {
    proto::RegisterRequest request;
    if (request.ParseFromString(mutator.Mutate(seed.SerializeAsString()))) {
      for (const auto& graph : request.graphs()) count(SignatureFromProto(graph));
    }
    proto::RunCall damaged;
    if (damaged.ParseFromString(mutator.Mutate(call.SerializeAsString()))) {
      count(TensorsFromProto(damaged.inputs()));
    }
  }
  EXPECT_GT(read, 100);
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace pipeserve
