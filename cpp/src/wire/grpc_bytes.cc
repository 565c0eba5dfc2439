#include "wire/grpc_bytes.h"

#include <utility>

namespace pipeserve {

grpc::ByteBuffer ToByteBuffer(std::vector<Buffer> frames) {
  std::vector<grpc::Slice> slices;
  slices.reserve(frames.size());
  for (Buffer& frame : frames) {
    auto* held = new Buffer(std::move(frame));
    slices.emplace_back(
        held->mutable_data(), held->size(),
        [](void* buffer) { delete static_cast<Buffer*>(buffer); }, held);
  }
  return grpc::ByteBuffer(slices.data(), slices.size());
}

}  // namespace pipeserve
