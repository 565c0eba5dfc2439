#include "wire/ms_service.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <cstring>

#include "support/matchers.h"
#include "support/mutator.h"

namespace pipeserve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

ms_proto::Tensor* AddInput(ms_proto::PredictRequest* request, const std::string& name,
                           ms_proto::DataType dtype, std::vector<int64_t> dims,
                           const std::string& data) {
  if (request->instances_size() == 0) request->add_instances();
  ms_proto::Tensor& tensor = (*request->mutable_instances(0)->mutable_items())[name];
  tensor.set_dtype(dtype);
  for (const int64_t dim : dims) tensor.mutable_shape()->add_dims(dim);
  tensor.set_data(data);
  return &tensor;
}

Result<std::vector<NamedInstance>> TakeOne(ms_proto::DataType dtype, std::vector<int64_t> dims,
                                           const std::string& data,
                                           std::vector<std::string> items = {}) {
  ms_proto::PredictRequest request;
  ms_proto::Tensor* tensor = AddInput(&request, "x", dtype, std::move(dims), data);
  for (const std::string& item : items) tensor->add_bytes_val(item);
  return TakeInstances(&request);
}

TEST(MsServiceTest, NumbersAreTakenWithoutACopy) {
  ms_proto::PredictRequest request;
  const ms_proto::Tensor* tensor =
      AddInput(&request, "x", ms_proto::MS_FLOAT32, {2, 3}, std::string(24, 'a'));
  const void* bytes = tensor->data().data();
  const auto instances = TakeInstances(&request);
  ASSERT_OK(instances);
  ASSERT_THAT(*instances, SizeIs(1));
  const auto& [name, value] = (*instances)[0][0];
  EXPECT_EQ(name, "x");
  EXPECT_EQ(value.ToString(), "float32[2,3]");
  EXPECT_EQ(value.data(), bytes);
}

TEST(MsServiceTest, EveryDataTypeGoesThereAndBack) {
  for (int i = static_cast<int>(DataType::kBool); i <= static_cast<int>(DataType::kFloat64); ++i) {
    Tensor tensor(static_cast<DataType>(i), Shape{2});
    std::memset(tensor.mutable_data(), 1, tensor.byte_size());
    ms_proto::PredictRequest request;
    const NamedInstance sent = {{"x", tensor}};
    WriteInstances(std::span(&sent, 1), &request);
    const auto taken = TakeInstances(&request);
    ASSERT_OK(taken);
    EXPECT_EQ((*taken)[0][0].second.dtype(), tensor.dtype());
    EXPECT_EQ((*taken)[0][0].second.shape(), tensor.shape());
  }
}

TEST(MsServiceTest, EmptyTensorAndScalarAreAccepted) {
  EXPECT_OK(TakeOne(ms_proto::MS_INT8, {3, 0}, ""));
  EXPECT_OK(TakeOne(ms_proto::MS_INT8, {}, "a"));
}

TEST(MsServiceTest, TextTakesShapeOneOrNone) {
  for (const std::vector<int64_t>& dims : {std::vector<int64_t>{}, std::vector<int64_t>{1}}) {
    const auto taken = TakeOne(ms_proto::MS_STRING, dims, "", {"hello"});
    ASSERT_OK(taken);
    EXPECT_THAT((*taken)[0][0].second.Strings(), ElementsAre("hello"));
  }
}

TEST(MsServiceTest, BadTensorsAreRefusedInTheOriginalsWords) {
  const auto expect = [](const Result<std::vector<NamedInstance>>& result, const char* fragment) {
    EXPECT_ERROR(result, kInvalidArgument,
                 "Instances input x check failed, detail: Tensor check failed: ");
    EXPECT_ERROR(result, kInvalidArgument, fragment);
  };
  const int64_t big = int64_t{1} << 62;
  expect(TakeOne(ms_proto::MS_FLOAT32, {2, 3}, "abc"), "input data size 3 invalid");
  expect(TakeOne(ms_proto::MS_FLOAT32, {2}, std::string(4, 'a')), "input data size 4 invalid");
  expect(TakeOne(ms_proto::MS_FLOAT32, {-1, 3}, ""), "input  shape [-1, 3] invalid");
  expect(TakeOne(ms_proto::MS_FLOAT32, {0, 3}, ""), "input  shape [0, 3] invalid");
  expect(TakeOne(ms_proto::MS_FLOAT32, {big, big}, "abcd"), "invalid");
  expect(TakeOne(ms_proto::MS_FLOAT64, {big}, "abcd"), "input data size 4 invalid");
  expect(TakeOne(ms_proto::MS_FLOAT32, std::vector<int64_t>(9, 1), "abcd"), "invalid");
  expect(TakeOne(ms_proto::MS_UNKNOWN, {1}, "a"), "data type unknown invalid");
  expect(TakeOne(static_cast<ms_proto::DataType>(99), {1}, "a"), "data type unknown invalid");
  expect(TakeOne(ms_proto::MS_STRING, {1}, ""),
         "bytes or string type shape batch size can only be 1");
  expect(TakeOne(ms_proto::MS_BYTES, {2}, "", {"a", "b"}),
         "bytes or string type shape batch size can only be 1");
  expect(TakeOne(ms_proto::MS_STRING, {1, 1}, "", {"a"}),
         "bytes or string type input  shape can only be (1,) or empty, but given shape is [1, 1]");
}

TEST(MsServiceTest, AMessageDoesNotRepeatAMillionDimensions) {
  const auto result = TakeOne(ms_proto::MS_FLOAT32, std::vector<int64_t>(1'000'000, 1), "");
  ASSERT_FALSE(result.ok());
  EXPECT_LT(result.status().message().size(), 400u);
}

TEST(MsServiceTest, CodesAreTheOriginals) {
  EXPECT_EQ(ErrorMsgCode(StatusCode::kOk), 0);
  EXPECT_EQ(ErrorMsgCode(StatusCode::kInvalidArgument), 2);
  EXPECT_EQ(ErrorMsgCode(StatusCode::kNotFound), 2);
  EXPECT_EQ(ErrorMsgCode(StatusCode::kInternal), 2);
  EXPECT_EQ(ErrorMsgCode(StatusCode::kResourceExhausted), 1);
  EXPECT_EQ(ErrorMsgCode(StatusCode::kUnavailable), 1);
  EXPECT_EQ(ErrorMsgCode(StatusCode::kDeadlineExceeded), 1);
}

TEST(MsServiceTest, ReplyWithoutErrorHasNoErrorMsg) {
  const std::vector<std::string> names = {"y", "text"};
  const std::vector<Result<Instance>> results = {
      Instance{Tensor::Of<int32_t>({2}, {1, 2}), Tensor::FromString(DataType::kString, "hi")}};
  ms_proto::PredictReply reply;
  WriteReply(OkStatus(), names, results, &reply);
  EXPECT_EQ(reply.error_msg_size(), 0);
  const auto taken = TakeReply(&reply);
  ASSERT_OK(taken);
  EXPECT_THAT(taken->errors, IsEmpty());
  ASSERT_THAT(taken->instances, SizeIs(1));
  for (const auto& [name, value] : taken->instances[0]) {
    EXPECT_EQ(value.ToString(), name == "y" ? "int32[2]" : "string[]");
  }
}

TEST(MsServiceTest, ErrorOfTheRequestIsOneErrorMsgAndNoInstances) {
  ms_proto::PredictReply reply;
  WriteReply(NotFound(std::string(1000, 'e')), {}, {}, &reply);
  ASSERT_EQ(reply.error_msg_size(), 1);
  EXPECT_EQ(reply.error_msg(0).error_code(), 2);
  EXPECT_EQ(reply.error_msg(0).error_msg().size(), 1000u);
  EXPECT_EQ(reply.instances_size(), 0);
}

TEST(MsServiceTest, OneFailedInstanceGivesAnErrorMsgForEach) {
  const std::vector<std::string> names = {"y"};
  const std::vector<Result<Instance>> results = {Instance{Tensor::Of<float>({}, {1})},
                                                 InvalidArgument("Pipeline Failed")};
  ms_proto::PredictReply reply;
  WriteReply(OkStatus(), names, results, &reply);
  ASSERT_EQ(reply.instances_size(), 2);
  EXPECT_EQ(reply.instances(0).items_size(), 1);
  EXPECT_EQ(reply.instances(1).items_size(), 0);
  ASSERT_EQ(reply.error_msg_size(), 2);
  EXPECT_EQ(reply.error_msg(0).error_code(), 0);
  EXPECT_EQ(reply.error_msg(0).error_msg(), "");
  EXPECT_EQ(reply.error_msg(1).error_code(), 2);
  EXPECT_EQ(reply.error_msg(1).error_msg(), "Pipeline Failed");
}

TEST(MsServiceTest, ReplyMayHoldAnyNumberOfTextItems) {
  for (const int count : {0, 1, 3}) {
    ms_proto::PredictReply reply;
    ms_proto::Tensor& tensor = (*reply.add_instances()->mutable_items())["t"];
    tensor.set_dtype(ms_proto::MS_BYTES);
    for (int i = 0; i < count; ++i) tensor.add_bytes_val("item");
    const auto taken = TakeReply(&reply);
    ASSERT_OK(taken);
    EXPECT_THAT(taken->instances[0][0].second.Strings(), SizeIs(count));
  }
}

TEST(MsServiceTest, OutputsOfAReplyComeInTheOrderOfTheirNames) {
  ms_proto::PredictReply reply;
  const std::vector<std::string> names = {"z", "x", "y", "w"};
  const std::vector<Result<Instance>> instances = {
      Instance(names.size(), Tensor::Of<float>({1}, {1}))};
  WriteReply(OkStatus(), names, instances, &reply);
  const auto taken = TakeReply(&reply);
  ASSERT_OK(taken);
  std::vector<std::string> seen;
  for (const auto& [name, tensor] : taken->instances.at(0)) seen.push_back(name);
  EXPECT_THAT(seen, testing::ElementsAre("w", "x", "y", "z"));
}

TEST(MsServiceTest, ReplyThatContradictsItselfIsAnError) {
  ms_proto::PredictReply reply;
  ms_proto::Tensor& tensor = (*reply.add_instances()->mutable_items())["y"];
  tensor.set_dtype(ms_proto::MS_INT32);
  tensor.set_data("abc");
  EXPECT_ERROR(TakeReply(&reply), kInternal, "output y of the reply: input data size 3 invalid");
}

// Lengths, tags and numbers that mean something at some place of a message.
constexpr std::string_view kWireTokens[] = {{"\0", 1},
                                            "\x01",
                                            "\x7f",
                                            "\xff\xff\xff\xff\x0f",
                                            "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
                                            "\x0a",
                                            "\x12",
                                            "\x10\x0d",
                                            "\x10\x0b",
                                            "\x80\x80\x80\x80\x80\x80\x80\x80\x40",
                                            "\x22\x01",
                                            "\x1a\x04"};

// Numbers, text, a scalar, an empty tensor.
std::vector<NamedInstance> SeedInstances() {
  return {{{"f", Tensor::Of<float>({2, 1}, {1, 2})},
           {"i", Tensor::Of<int64_t>({}, {7})},
           {"s", Tensor::FromString(DataType::kString, "text")}},
          {{"e", Tensor(DataType::kInt8, Shape{3, 0})},
           {"b", Tensor::FromString(DataType::kBytes, "")}}};
}

void ExpectSound(const std::vector<NamedInstance>& instances) {
  for (const NamedInstance& instance : instances) {
    for (const auto& [name, tensor] : instance) {
      const int64_t elements = tensor.shape().num_elements();
      ASSERT_GE(elements, 0);
      if (IsText(tensor.dtype())) {
        EXPECT_EQ(tensor.Strings().size(), static_cast<size_t>(elements));
      } else {
        EXPECT_EQ(tensor.byte_size(), elements * DataTypeSize(tensor.dtype()));
      }
    }
  }
}

// The same for every run, which the order inside of a map is not by itself.
template <typename Message>
std::string Serialize(const Message& message) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  EXPECT_TRUE(message.SerializeToCodedStream(&coded));
  coded.Trim();
  return bytes;
}

// Damages the bytes of `seed` again and again. `take` says whether it took what could be parsed.
template <typename Message, typename Take>
void ThrowDamaged(const Message& seed, Take take) {
  const google::protobuf::LogSilencer silencer;  // It reports names that are not UTF-8.
  const std::string bytes = Serialize(seed);
  Mutator mutator(1, kWireTokens);
  int taken = 0;
  int refused = 0;
  for (int i = 0; i < 100'000 && !testing::Test::HasFailure(); ++i) {
    Message message;
    if (!message.ParseFromString(mutator.Mutate(bytes))) continue;
    ++(take(&message) ? taken : refused);
  }
  EXPECT_GT(taken, 100);
  EXPECT_GT(refused, 100);
}

TEST(MsServiceTest, DamagedRequestsAreTakenOrRefusedWithAText) {
  ms_proto::PredictRequest seed;
  WriteInstances(SeedInstances(), &seed);
  ThrowDamaged(seed, [](ms_proto::PredictRequest* request) {
    const auto instances = TakeInstances(request);
    if (instances.ok()) {
      ExpectSound(*instances);
    } else {
      EXPECT_ERROR(instances, kInvalidArgument, "Tensor check failed: ");
    }
    return instances.ok();
  });
}

TEST(MsServiceTest, DamagedRepliesAreTakenOrRefusedWithAText) {
  ms_proto::PredictRequest sent;
  WriteInstances(SeedInstances(), &sent);
  ms_proto::PredictReply seed;
  *seed.mutable_instances() = sent.instances();
  seed.add_error_msg()->set_error_msg("failed");
  ThrowDamaged(seed, [](ms_proto::PredictReply* reply) {
    const Result<InferReply> result = TakeReply(reply);
    if (result.ok()) {
      ExpectSound(result->instances);
    } else {
      EXPECT_ERROR(result, kInternal, "of the reply: ");
    }
    return result.ok();
  });
}

}  // namespace
}  // namespace pipeserve
