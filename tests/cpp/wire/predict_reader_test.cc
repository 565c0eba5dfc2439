#include <google/protobuf/stubs/logging.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "base/counters.h"
#include "support/matchers.h"
#include "support/mutator.h"
#include "wire/ms_tensor.h"
#include "wire/predict_bytes.h"

namespace pipeserve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

const PredictTarget kTarget{"matmul", "predict", 3};

ms_proto::Tensor* AddInput(ms_proto::PredictRequest* request, const std::string& name,
                           ms_proto::DataType dtype, const std::vector<int64_t>& dims,
                           const std::string& data) {
  if (request->instances_size() == 0) request->add_instances();
  ms_proto::Tensor& tensor = (*request->mutable_instances(0)->mutable_items())[name];
  tensor.set_dtype(dtype);
  for (const int64_t dim : dims) tensor.mutable_shape()->add_dims(dim);
  tensor.set_data(data);
  return &tensor;
}

// Numbers, text, a scalar, an empty tensor.
std::vector<NamedInstance> SeedInstances() {
  return {{{"f", Tensor::Of<float>({2, 1}, {1, 2})},
           {"i", Tensor::Of<int64_t>({}, {7})},
           {"s", Tensor::FromString(DataType::kString, "text")}},
          {{"e", Tensor(DataType::kInt8, Shape{3, 0})},
           {"b", Tensor::FromString(DataType::kBytes, "")}}};
}

ms_proto::PredictReply SeedReply() {
  ms_proto::PredictRequest request;
  EXPECT_TRUE(request.ParseFromString(Join(WritePredictRequest(kTarget, SeedInstances()))));
  ms_proto::PredictReply reply;
  *reply.mutable_instances() = request.instances();
  ms_proto::ErrorMsg* error = reply.add_error_msg();
  error->set_error_code(2);
  error->set_error_msg("failed");
  return reply;
}

TEST(PredictReaderTest, ARequestComesBackFromBlocksOfAnySize) {
  const std::string bytes = Join(WritePredictRequest(kTarget, SeedInstances()));
  for (int block_size = 1; block_size <= static_cast<int>(bytes.size()); ++block_size) {
    const auto request = ReadRequest(bytes, block_size);
    ASSERT_OK(request);
    ASSERT_OK(request->refused);
    EXPECT_EQ(request->target.servable, "matmul");
    EXPECT_EQ(request->target.method, "predict");
    EXPECT_EQ(request->target.version, 3u);
    EXPECT_EQ(Join(WritePredictRequest(request->target, request->instances)), bytes);
  }
}

TEST(PredictReaderTest, ATensorIsCopiedOnceIntoTheRoomThatIsMadeForIt) {
  const NamedInstance sent = {{"x", Tensor(DataType::kFloat32, Shape{64, 64})}};
  const std::string bytes = Join(WritePredictRequest(kTarget, std::span(&sent, 1)));
  google::protobuf::io::ArrayInputStream stream(bytes.data(), static_cast<int>(bytes.size()), 100);
  const Buffer room = Buffer::Allocate(sent[0].second.byte_size());
  const uint64_t copied = Counters::Global().copied_bytes;
  const auto request =
      ReadPredictRequest(&stream, bytes.size(), [&](const PredictTarget& target, size_t wanted) {
        EXPECT_EQ(target.servable, "matmul");
        EXPECT_EQ(wanted, room.size());
        return room;
      });
  ASSERT_OK(request);
  EXPECT_EQ(request->instances.at(0).at(0).second.data(), room.data());
  EXPECT_EQ(Counters::Global().copied_bytes - copied, room.size());
}

TEST(PredictReaderTest, ABadTensorIsRefusedAndTheTargetIsKnown) {
  ms_proto::PredictRequest message;
  message.mutable_servable_spec()->set_name("matmul");
  AddInput(&message, "x", ms_proto::MS_FLOAT32, {2, 3}, "abc");
  const auto request = ReadRequest(Serialize(message));
  ASSERT_OK(request);
  EXPECT_EQ(request->target.servable, "matmul");
  EXPECT_ERROR(request->refused, kInvalidArgument,
               "Instances input x check failed, detail: Tensor check failed: input data size 3");
}

TEST(PredictReaderTest, NumbersOfDimensionsMayComeOneByOne) {
  // shape { dims: 2 dims: 1 }, each with a tag of its own, as proto2 writers do.
  const std::string shape("\x08\x02\x08\x01", 4);
  const std::string tensor = "\x0a\x04" + shape + "\x10\x02" + "\x1a\x02" + "ab";
  const std::string entry =
      "\x0a\x01x\x12" + std::string(1, static_cast<char>(tensor.size())) + tensor;
  const std::string instance = "\x0a" + std::string(1, static_cast<char>(entry.size())) + entry;
  const std::string bytes = "\x12" + std::string(1, static_cast<char>(instance.size())) + instance;
  ms_proto::PredictRequest message;
  ASSERT_TRUE(message.ParseFromString(bytes));
  const auto request = ReadRequest(bytes);
  ASSERT_OK(request);
  ASSERT_OK(request->refused);
  EXPECT_EQ(request->instances.at(0).at(0).second.ToString(), "int8[2,1]");
}

TEST(PredictReaderTest, FieldsOfLaterVersionsAreSkipped) {
  const std::string unknown =
      "\x7a\x03"
      "abc"
      "\xa0\x06\x01";  // Fields 15 and 100.
  const std::string bytes = unknown + Join(WritePredictRequest(kTarget, SeedInstances())) + unknown;
  const auto request = ReadRequest(bytes);
  ASSERT_OK(request);
  EXPECT_THAT(request->instances, SizeIs(2));
}

TEST(PredictReaderTest, WhatIsNoMessageIsAnError) {
  const std::string bytes = Join(WritePredictRequest(kTarget, SeedInstances()));
  EXPECT_ERROR(ReadRequest(bytes.substr(0, bytes.size() - 1)), kInvalidArgument,
               "bytes are no PredictRequest message");
  EXPECT_ERROR(ReadRequest("\xff\xff"), kInvalidArgument, "the 2 bytes are no PredictRequest");
  // A tensor of 2 GiB in a message of 20 bytes.
  EXPECT_ERROR(ReadRequest("\x12\x10\x0a\x0e\x12\x0c\x1a\xff\xff\xff\xff\x07"
                           "12345678"),
               kInvalidArgument, "bytes are no PredictRequest message");
  EXPECT_ERROR(ReadReply("\x12"), kInternal, "the 1 bytes are no PredictReply message");
}

TEST(PredictReaderTest, AnEmptyMessageIsARequestForNothing) {
  const auto request = ReadRequest("");
  ASSERT_OK(request);
  EXPECT_EQ(request->target.servable, "");
  EXPECT_THAT(request->instances, IsEmpty());
}

TEST(PredictReaderTest, ReplyMayHoldAnyNumberOfTextItems) {
  for (const int count : {0, 1, 3}) {
    ms_proto::PredictReply reply;
    ms_proto::Tensor& tensor = (*reply.add_instances()->mutable_items())["t"];
    tensor.set_dtype(ms_proto::MS_BYTES);
    for (int i = 0; i < count; ++i) tensor.add_bytes_val("item");
    const auto read = ReadReply(Serialize(reply));
    ASSERT_OK(read);
    EXPECT_THAT(read->instances[0][0].second.Strings(), SizeIs(count));
  }
}

TEST(PredictReaderTest, OutputsOfAReplyComeInTheOrderOfTheirNames) {
  const std::vector<std::string> names = {"z", "x", "y", "w"};
  const std::vector<Result<Instance>> instances = {
      Instance(names.size(), Tensor::Of<float>({1}, {1}))};
  const auto read = ReadReply(Join(WritePredictReply(kTarget, OkStatus(), names, instances)));
  ASSERT_OK(read);
  std::vector<std::string> seen;
  for (const auto& [name, tensor] : read->instances.at(0)) seen.push_back(name);
  EXPECT_THAT(seen, ElementsAre("w", "x", "y", "z"));
}

TEST(PredictReaderTest, ErrorsOfAReplyAreRead) {
  const auto read = ReadReply(Serialize(SeedReply()));
  ASSERT_OK(read);
  ASSERT_THAT(read->errors, SizeIs(1));
  EXPECT_EQ(read->errors[0].code, 2);
  EXPECT_EQ(read->errors[0].message, "failed");
}

TEST(PredictReaderTest, ReplyThatContradictsItselfIsAnError) {
  ms_proto::PredictReply reply;
  ms_proto::Tensor& tensor = (*reply.add_instances()->mutable_items())["y"];
  tensor.set_dtype(ms_proto::MS_INT32);
  tensor.set_data("abc");
  EXPECT_ERROR(ReadReply(Serialize(reply)), kInternal,
               "output y of the reply: input data size 3 invalid");
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

// Of equal names the last counts, as in protobuf's maps.
std::map<std::string, Tensor> ByName(const NamedInstance& instance) {
  std::map<std::string, Tensor> tensors;
  for (const auto& [name, tensor] : instance) tensors.insert_or_assign(name, tensor);
  return tensors;
}

void ExpectSame(const Tensor& read, const ms_proto::Tensor& expected) {
  EXPECT_EQ(read.dtype(), DataTypeFromWire(expected.dtype()));
  if (IsText(read.dtype())) {
    const auto items = read.Strings();
    EXPECT_EQ(std::vector<std::string>(items.begin(), items.end()),
              std::vector<std::string>(expected.bytes_val().begin(), expected.bytes_val().end()));
    return;
  }
  EXPECT_EQ(std::vector<int64_t>(read.shape().begin(), read.shape().end()),
            std::vector<int64_t>(expected.shape().dims().begin(), expected.shape().dims().end()));
  EXPECT_EQ(std::string(read.data_as<char>(), read.byte_size()), expected.data());
}

template <typename Message>
void ExpectSameInstances(const std::vector<NamedInstance>& read, const Message& expected) {
  ASSERT_EQ(read.size(), static_cast<size_t>(expected.instances_size()));
  for (size_t i = 0; i < read.size(); ++i) {
    const auto tensors = ByName(read[i]);
    const auto& items = expected.instances(static_cast<int>(i)).items();
    ASSERT_EQ(tensors.size(), items.size());
    for (const auto& [name, tensor] : tensors) ExpectSame(tensor, items.at(name));
  }
}

// Damages the bytes of `seed` again and again: read(bytes, message) and protobuf's own parser,
// whose message that is (null: it refused), must agree. It says whether all was taken.
template <typename Message, typename Read>
void ThrowDamaged(const std::string& seed, Read read) {
  const google::protobuf::LogSilencer silencer;  // It reports names that are not UTF-8.
  Mutator mutator(kWireTokens);
  int taken = 0, refused = 0, no_message = 0;
  for (int i = 0; i < DamagedInputs(100'000) && !testing::Test::HasFailure(); ++i) {
    const std::string bytes = mutator.Mutate(seed);
    SCOPED_TRACE(testing::PrintToString(bytes));
    Message message;
    const bool sound = message.ParseFromString(bytes);
    ++(!sound ? no_message : read(bytes, &message) ? taken : refused);
    if (!sound) read(bytes, nullptr);
  }
  EXPECT_GT(taken, 100);
  EXPECT_GT(refused, 100);
  EXPECT_GT(no_message, 100);
}

TEST(PredictReaderTest, DamagedRequestsAreReadAsProtobufReadsThem) {
  ThrowDamaged<ms_proto::PredictRequest>(
      Join(WritePredictRequest(kTarget, SeedInstances())),
      [](const std::string& bytes, const ms_proto::PredictRequest* expected) {
        const auto request = ReadRequest(bytes, 7);
        EXPECT_EQ(request.ok(), expected != nullptr) << request.status();
        if (!request.ok() || expected == nullptr) return false;
        EXPECT_EQ(request->target.servable, expected->servable_spec().name());
        EXPECT_EQ(request->target.version, expected->servable_spec().version_number());
        if (!request->refused.ok()) {
          EXPECT_ERROR(request->refused, kInvalidArgument, "Tensor check failed: ");
          return false;
        }
        ExpectSameInstances(request->instances, *expected);
        return true;
      });
}

TEST(PredictReaderTest, ATagOfMoreBytesThanOneHasIsNoMessage) {
  const std::string reply = Serialize(SeedReply());
  ASSERT_OK(ReadReply(reply + std::string("\x80\x80\x80\x80\x0f\x01", 6), 7));
  EXPECT_ERROR(ReadReply(reply + std::string("\x80\x80\x80\x80\xff\xff\x0f\x01", 8), 7), kInternal,
               "no PredictReply message");
}

TEST(PredictReaderTest, DamagedRepliesAreReadAsProtobufReadsThem) {
  ThrowDamaged<ms_proto::PredictReply>(
      Serialize(SeedReply()), [](const std::string& bytes, const ms_proto::PredictReply* expected) {
        const auto reply = ReadReply(bytes, 7);
        if (expected == nullptr) {
          EXPECT_ERROR(reply, kInternal, "no PredictReply message");
          return false;
        }
        if (!reply.ok()) {
          EXPECT_ERROR(reply, kInternal, "of the reply: ");
          return false;
        }
        ExpectSameInstances(reply->instances, *expected);
        return true;
      });
}

}  // namespace
}  // namespace pipeserve
