// Messages of MSService/Predict as bytes, for the tests of what reads and writes them.
#pragma once

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "ms_service.pb.h"
#include "wire/predict_message.h"

namespace pipeserve {

namespace ms_proto = ::mindspore::serving::proto;

// The same for every run, which the order inside of a map is not by itself.
template <typename Message>
std::string Serialize(const Message& message) {
  std::string bytes;
  {
    google::protobuf::io::StringOutputStream stream(&bytes);
    google::protobuf::io::CodedOutputStream coded(&stream);
    coded.SetSerializationDeterministic(true);
    EXPECT_TRUE(message.SerializeToCodedStream(&coded));
  }
  return bytes;
}

inline std::string Join(const std::vector<Buffer>& frames) {
  std::string bytes;
  for (const Buffer& frame : frames) {
    bytes.append(reinterpret_cast<const char*>(frame.data()), frame.size());
  }
  return bytes;
}

// gRPC hands a message over in blocks; here of `block_size` bytes, or in one.
inline Result<PredictRequest> ReadRequest(const std::string& bytes, int block_size = -1) {
  google::protobuf::io::ArrayInputStream stream(bytes.data(), static_cast<int>(bytes.size()),
                                                block_size);
  return ReadPredictRequest(&stream, bytes.size(), [](const PredictTarget&, size_t wanted) {
    return Buffer::Allocate(wanted);
  });
}

inline Result<InferReply> ReadReply(const std::string& bytes, int block_size = -1) {
  google::protobuf::io::ArrayInputStream stream(bytes.data(), static_cast<int>(bytes.size()),
                                                block_size);
  return ReadPredictReply(&stream, bytes.size());
}

}  // namespace pipeserve
