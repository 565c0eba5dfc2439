#include "workers/message.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "support/matchers.h"
#include "support/mutator.h"

namespace pipeserve {
namespace {

// All of a frame as one, with the padding.
std::string Join(const WorkerFrame& frame) {
  std::string bytes(reinterpret_cast<const char*>(frame.text.data()), frame.text.size());
  for (const Buffer& tensor : frame.tensors) {
    bytes.append(reinterpret_cast<const char*>(tensor.data()), tensor.size());
    bytes.resize(bytes.size() + PaddedTo64(tensor.size()) - tensor.size());
  }
  return bytes;
}

std::string Encoded(const WorkerMessage& message) {
  const Result<WorkerFrame> frame = EncodeWorkerMessage(message);
  EXPECT_OK(frame);
  return Join(*frame);
}

// What a channel makes of the bytes.
Result<WorkerMessage> Decoded(std::string_view bytes) {
  const auto all = std::as_bytes(std::span(bytes));
  if (all.size() < WorkerFrameHead::kSize) return InvalidArgument("no head");
  PIPESERVE_ASSIGN_OR_RETURN(const WorkerFrameHead head,
                             WorkerFrameHead::Decode(all.first<WorkerFrameHead::kSize>()));
  const auto rest = all.subspan(WorkerFrameHead::kSize);
  if (head.field_bytes > rest.size() || head.tensor_bytes > rest.size() - head.field_bytes) {
    return InvalidArgument("the frame ends early");
  }
  return DecodeWorkerMessage(rest.first(head.field_bytes),
                             Buffer::CopyOf(rest.subspan(head.field_bytes, head.tensor_bytes)));
}

WorkerMessage Seed() {
  WorkerMessage message{.kind = WorkerMessageKind::kRun,
                        .keep = true,
                        .number = 7,
                        .nanoseconds = -3,
                        .name = "step",
                        .status = NotFound("nowhere"),
                        .released = {1, 99}};
  message.instances.emplace_back(
      std::vector<WorkerValue>{{.tensor = Tensor::Of<float>({2, 1}, {1, 2})},
                               {.tensor = Tensor::FromString(DataType::kString, "text")},
                               {.tensor = Tensor(DataType::kInt8, Shape{3, 0})},
                               {.tensor = Tensor(DataType::kFloat32, Shape{64, 64}, Buffer()),
                                .resident = 5,
                                .title = "float32[64,64] (output 0 of lm.step)"}});
  message.instances.emplace_back(Internal("it failed"));
  return message;
}

TEST(WorkerMessageTest, AMessageComesBackAsItWas) {
  const Result<WorkerMessage> message = Decoded(Encoded(Seed()));
  ASSERT_OK(message);
  EXPECT_EQ(message->kind, WorkerMessageKind::kRun);
  EXPECT_TRUE(message->keep);
  EXPECT_EQ(message->number, 7);
  EXPECT_EQ(message->nanoseconds, -3);
  EXPECT_EQ(message->name, "step");
  EXPECT_EQ(message->status, NotFound("nowhere"));
  EXPECT_THAT(message->released, ::testing::ElementsAre(1, 99));
  ASSERT_EQ(message->instances.size(), 2);
  const auto& values = *message->instances[0];
  ASSERT_EQ(values.size(), 4);
  EXPECT_THAT(*values[0].tensor.ToVector<float>(), ::testing::ElementsAre(1, 2));
  EXPECT_EQ(values[1].tensor.Strings().front(), "text");
  EXPECT_EQ(values[2].tensor.shape(), (Shape{3, 0}));
  EXPECT_EQ(values[3].resident, 5);
  EXPECT_EQ(values[3].tensor.shape(), (Shape{64, 64}));
  EXPECT_EQ(values[3].title, "float32[64,64] (output 0 of lm.step)");
  EXPECT_EQ(message->instances[1].status(), Internal("it failed"));
}

TEST(WorkerMessageTest, TensorsLieAtMultiplesOf64) {
  WorkerMessage message;
  message.instances.emplace_back(std::vector<WorkerValue>{
      {.tensor = Tensor::Of<uint8_t>({1}, {1})}, {.tensor = Tensor::Of<double>({1}, {2})}});
  const Result<WorkerMessage> decoded = Decoded(Encoded(message));
  ASSERT_OK(decoded);
  for (const WorkerValue& value : *decoded->instances[0]) {
    EXPECT_EQ(reinterpret_cast<uintptr_t>(value.tensor.data()) % kTensorAlignment, 0);
  }
}

TEST(WorkerMessageTest, AFrameHasLimits) {
  EXPECT_ERROR(WorkerFrameHead::Decode(WorkerFrameHead{kMaxFieldBytes + 1, 0}.Encode()),
               kInvalidArgument, "at most");
  EXPECT_ERROR(WorkerFrameHead::Decode(WorkerFrameHead{0, kMaxTensorBytes + 1}.Encode()),
               kInvalidArgument, "at most");
  EXPECT_ERROR(EncodeWorkerMessage({.name = std::string(kMaxFieldBytes, 'x')}), kInvalidArgument,
               "at most");
}

TEST(WorkerMessageTest, WhatEndsEarlyIsRefused) {
  const std::string bytes = Encoded(Seed());
  uint64_t field_bytes = 0;
  std::memcpy(&field_bytes, bytes.data(), sizeof(field_bytes));
  const auto fields = std::as_bytes(std::span(bytes)).subspan(WorkerFrameHead::kSize, field_bytes);
  const Buffer tensors =
      Buffer::CopyOf(std::as_bytes(std::span(bytes)).subspan(WorkerFrameHead::kSize + field_bytes));
  ASSERT_OK(DecodeWorkerMessage(fields, tensors));
  for (size_t size = 0; size < fields.size(); ++size) {
    EXPECT_FALSE(DecodeWorkerMessage(fields.first(size), tensors).ok()) << size;
  }
  EXPECT_ERROR(DecodeWorkerMessage(fields, tensors.Slice(0, 64)), kInvalidArgument, "tensor of");
  EXPECT_ERROR(DecodeWorkerMessage(fields, Buffer::Allocate(tensors.size() + 64)), kInvalidArgument,
               "");
}

TEST(WorkerMessageTest, TextWhoseItemsDoNotFillItIsRefused) {
  WorkerMessage message;
  const uint32_t too_long = 9;
  const Buffer bytes = Buffer::CopyOf(std::as_bytes(std::span(&too_long, 1)));
  message.instances.emplace_back(
      std::vector<WorkerValue>{{.tensor = Tensor(DataType::kString, Shape{}, bytes)}});
  EXPECT_ERROR(Decoded(Encoded(message)), kInvalidArgument, "items");
}

TEST(WorkerMessageTest, ATensorOfAnotherSizeThanItsShapeIsRefused) {
  WorkerMessage message;
  message.instances.emplace_back(std::vector<WorkerValue>{
      {.tensor = Tensor(DataType::kFloat32, Shape{3}, Buffer::Allocate(8))}});
  EXPECT_ERROR(Decoded(Encoded(message)), kInvalidArgument, "takes 12 bytes, 8 came");
}

// Whatever damaged bytes are taken for can be looked at, and written again.
TEST(WorkerMessageTest, DamagedFramesAreRefusedOrRead) {
  const std::string seed = Encoded(Seed());
  const std::string_view tokens[] = {std::string_view("\xff\xff\xff\xff", 4),
                                     std::string_view("\0\0\0\0", 4),
                                     std::string_view("\0\0\0\x80", 4)};
  Mutator mutator(tokens);
  int refused = 0;
  for (int i = 0; i < DamagedInputs(20'000); ++i) {
    const Result<WorkerMessage> message = Decoded(mutator.Mutate(seed));
    if (!message.ok()) {
      EXPECT_EQ(message.status().code(), StatusCode::kInvalidArgument);
      ++refused;
      continue;
    }
    for (const auto& instance : message->instances) {
      if (!instance.ok()) continue;
      for (const WorkerValue& value : *instance) {
        if (value.resident == 0 && IsText(value.tensor.dtype())) value.tensor.Strings();
      }
    }
    EXPECT_OK(EncodeWorkerMessage(*message));
  }
  EXPECT_GT(refused, 1000);
}

}  // namespace
}  // namespace pipeserve
