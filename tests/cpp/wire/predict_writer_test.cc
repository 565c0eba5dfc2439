#include <gtest/gtest.h>

#include <algorithm>

#include "support/matchers.h"
#include "wire/predict_bytes.h"

namespace pipeserve {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

const PredictTarget kTarget{"matmul", "predict", 3};

ms_proto::PredictReply Reply(const Status& error, const std::vector<std::string>& names,
                             const std::vector<Result<Instance>>& instances) {
  ms_proto::PredictReply reply;
  EXPECT_TRUE(reply.ParseFromString(Join(WritePredictReply(kTarget, error, names, instances))));
  return reply;
}

TEST(PredictWriterTest, AReplyIsWhatProtobufReads) {
  const auto reply =
      Reply(OkStatus(), {"n", "s"},
            {Instance{Tensor::Of<int32_t>({2, 1}, {7, -1}),
                      Tensor::FromStrings(DataType::kString, Shape{2}, {{"one", ""}})}});
  EXPECT_EQ(reply.servable_spec().name(), "matmul");
  EXPECT_EQ(reply.servable_spec().method_name(), "predict");
  EXPECT_EQ(reply.servable_spec().version_number(), 3u);
  EXPECT_EQ(reply.error_msg_size(), 0);
  ASSERT_EQ(reply.instances_size(), 1);
  const ms_proto::Tensor& numbers = reply.instances(0).items().at("n");
  EXPECT_EQ(numbers.dtype(), ms_proto::MS_INT32);
  EXPECT_THAT(numbers.shape().dims(), ElementsAre(2, 1));
  EXPECT_EQ(numbers.data(), std::string("\7\0\0\0\xff\xff\xff\xff", 8));
  const ms_proto::Tensor& text = reply.instances(0).items().at("s");
  EXPECT_EQ(text.dtype(), ms_proto::MS_STRING);
  EXPECT_THAT(text.bytes_val(), ElementsAre("one", ""));
  EXPECT_EQ(text.data(), "");
}

TEST(PredictWriterTest, TheBytesOfLargeTensorsAreNotCopied) {
  const Tensor large(DataType::kFloat32, Shape{64, 64}), small = Tensor::Of<float>({1}, {1});
  const std::vector<std::string> names = {"large", "small", "again"};
  const std::vector<Result<Instance>> instances = {Instance{large, small, large}};
  const std::vector<Buffer> frames = WritePredictReply(kTarget, OkStatus(), names, instances);
  const auto is_large = [&](const Buffer& frame) { return frame.data() == large.data(); };
  EXPECT_EQ(std::count_if(frames.begin(), frames.end(), is_large), 2);
  EXPECT_EQ(frames.size(), 4u);  // Text, tensor, text, tensor.
  const auto reply = Reply(OkStatus(), names, instances);
  EXPECT_EQ(reply.instances(0).items().at("again").data().size(), large.byte_size());
}

TEST(PredictWriterTest, ErrorOfTheRequestIsOneErrorMsgAndNoInstances) {
  const auto reply = Reply(NotFound(std::string(1000, 'e')), {}, {});
  ASSERT_EQ(reply.error_msg_size(), 1);
  EXPECT_EQ(reply.error_msg(0).error_code(), 2);
  EXPECT_EQ(reply.error_msg(0).error_msg().size(), 1000u);
  EXPECT_EQ(reply.instances_size(), 0);
  EXPECT_EQ(reply.servable_spec().name(), "matmul");
}

TEST(PredictWriterTest, OneFailedInstanceGivesAnErrorMsgForEach) {
  const auto reply =
      Reply(OkStatus(), {"y"},
            {Instance{Tensor::Of<float>({}, {1})}, InvalidArgument("Pipeline Failed")});
  ASSERT_EQ(reply.instances_size(), 2);
  EXPECT_EQ(reply.instances(0).items_size(), 1);
  EXPECT_EQ(reply.instances(1).items_size(), 0);
  ASSERT_EQ(reply.error_msg_size(), 2);
  EXPECT_EQ(reply.error_msg(0).error_code(), 0);
  EXPECT_EQ(reply.error_msg(0).error_msg(), "");
  EXPECT_EQ(reply.error_msg(1).error_code(), 2);
  EXPECT_EQ(reply.error_msg(1).error_msg(), "Pipeline Failed");
}

TEST(PredictWriterTest, ARequestIsWhatProtobufReads) {
  const std::vector<NamedInstance> instances = {
      {{"x", Tensor::Of<float>({2}, {1, 2})}, {"b", Tensor::FromString(DataType::kBytes, "raw")}},
      {}};
  ms_proto::PredictRequest request;
  ASSERT_TRUE(request.ParseFromString(Join(WritePredictRequest(kTarget, instances))));
  EXPECT_EQ(request.servable_spec().name(), "matmul");
  ASSERT_EQ(request.instances_size(), 2);
  EXPECT_EQ(request.instances(0).items().at("x").data().size(), 8u);
  EXPECT_THAT(request.instances(0).items().at("b").bytes_val(), ElementsAre("raw"));
  EXPECT_THAT(request.instances(1).items(), IsEmpty());
}

}  // namespace
}  // namespace pipeserve
