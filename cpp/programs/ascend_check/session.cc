#include "session.h"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <random>

namespace pipeserve::ascend::check {

std::vector<float> RandomFloats(size_t count, uint32_t seed) {
  std::vector<float> floats(count);
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> numbers(-1, 1);
  std::generate(floats.begin(), floats.end(), [&] { return numbers(random); });
  return floats;
}

int64_t UlpsBetween(float a, float b) {
  const auto place = [](float number) {
    const auto bits = std::bit_cast<int32_t>(number);
    return bits < 0 ? int64_t{INT32_MIN} - bits : int64_t{bits};
  };
  return std::abs(place(a) - place(b));
}

Result<std::unique_ptr<Session>> Session::Open(const Options& options) {
  PIPESERVE_ASSIGN_OR_RETURN(std::shared_ptr<const Library> library,
                             Library::Load(options.library));
  PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<Device> device,
                             Device::Open(std::move(library), options.device));
  std::unique_ptr<Session> session(new Session(options, std::move(device)));
  Result<Stream> stream = Stream::Create(session->device());
  if (stream.ok()) {
    session->stream_ = *std::move(stream);
    return session;
  }
  (void)session->Close();  // What failed first is told.
  return stream.status();
}

Status Session::Close() {
  workspace_.Free();
  stream_ = Stream();
  return device_->Close();
}

Result<Precision> Session::MatMulPrecision() const {
  Status first;
  for (const Precision precision : {Precision::kStrict, Precision::kFloat16}) {
    const Status status = device_->product().CheckMatMul(DataType::kFloat32, precision);
    if (status.ok()) return precision;
    if (first.ok()) first = status;
  }
  return first;
}

Result<DeviceBlock> Session::Upload(std::span<const float> values) {
  PIPESERVE_ASSIGN_OR_RETURN(DeviceBlock block,
                             DeviceBlock::Allocate(*device_, RoomFor(values.size_bytes())));
  PIPESERVE_RETURN_IF_ERROR(Overwrite(block, values));
  return block;
}

Status Session::Overwrite(const DeviceBlock& block, std::span<const float> values) {
  return PIPESERVE_ACL(*device_, aclrtMemcpy, block.data(), block.size(), values.data(),
                       values.size_bytes(), abi::MemcpyKind::kHostToDevice);
}

Result<std::vector<float>> Session::Download(const DeviceBlock& block, size_t count) {
  PIPESERVE_RETURN_IF_ERROR(Synchronize());  // A copy that is no task does not wait for streams.
  std::vector<float> values(count);
  const size_t bytes = count * sizeof(float);
  PIPESERVE_RETURN_IF_ERROR(PIPESERVE_ACL(*device_, aclrtMemcpy, values.data(), bytes, block.data(),
                                          bytes, abi::MemcpyKind::kDeviceToHost));
  return values;
}

}  // namespace pipeserve::ascend::check
