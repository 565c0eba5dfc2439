// Messages as gRPC carries them.
#pragma once

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <vector>

#include "pipeserve/tensor.h"

namespace pipeserve {

// The pieces of a message, which gRPC sends from where they lie and holds until then.
grpc::ByteBuffer ToByteBuffer(std::vector<Buffer> frames);

// read(stream, bytes) of a message that nobody reads again: its memory goes.
template <typename Read>
auto ReadOnce(grpc::ByteBuffer* message, Read read) {
  grpc::ProtoBufferReader stream(message);
  auto result = read(&stream, message->Length());
  message->Clear();
  return result;
}

}  // namespace pipeserve
