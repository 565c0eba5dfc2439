#include "workers/message.h"

#include <algorithm>
#include <cstring>
#include <type_traits>
#include <utility>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

constexpr auto kLastKind = WorkerMessageKind::kFetch;
constexpr auto kLastCode = StatusCode::kUnauthenticated;

class FieldWriter {
 public:
  explicit FieldWriter(std::vector<std::byte>* out) : out_(out) {}

  template <typename T>
  void Number(T value) {
    static_assert(std::is_integral_v<T>);
    Bytes(&value, sizeof(value));
  }
  void Text(std::string_view text) {
    Number<uint32_t>(static_cast<uint32_t>(text.size()));
    Bytes(text.data(), text.size());
  }

 private:
  void Bytes(const void* data, size_t size) {
    const auto* const bytes = static_cast<const std::byte*>(data);
    out_->insert(out_->end(), bytes, bytes + size);
  }

  std::vector<std::byte>* const out_;
};

// After the first field that is not there everything read is 0 or empty.
class FieldReader {
 public:
  explicit FieldReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  bool ok() const { return ok_; }
  bool at_end() const { return ok_ && rest_.empty(); }

  template <typename T>
  T Number() {
    T value{};
    if (!Has(sizeof(value))) return value;
    std::memcpy(&value, rest_.data(), sizeof(value));
    rest_ = rest_.subspan(sizeof(value));
    return value;
  }
  std::string Text() {
    const auto size = Number<uint32_t>();
    if (!Has(size)) return {};
    std::string text(reinterpret_cast<const char*>(rest_.data()), size);
    rest_ = rest_.subspan(size);
    return text;
  }
  // How many there are of what takes at least `least` bytes each: never more than can be there.
  size_t Count(size_t least) {
    const auto count = Number<uint32_t>();
    return Has(count * least) ? count : 0;
  }

 private:
  bool Has(size_t bytes) {
    ok_ = ok_ && bytes <= rest_.size();
    return ok_;
  }

  std::span<const std::byte> rest_;
  bool ok_ = true;
};

constexpr size_t kLeastValue = 22;    // dtype, rank, bytes, resident, length of the title.
constexpr size_t kLeastInstance = 8;  // Code, count or length.
constexpr size_t kReleasedNumber = 8;

void WriteStatus(const Status& status, FieldWriter& out) {
  out.Number(static_cast<uint32_t>(status.code()));
  out.Text(status.message());
}

Status ReadStatus(uint32_t code, FieldReader& in, Status* status) {
  if (code > static_cast<uint32_t>(kLastCode)) {
    return InvalidArgument(StrCat("there is no status code ", code));
  }
  *status = Status(static_cast<StatusCode>(code), in.Text());
  return OkStatus();
}

void WriteValue(const WorkerValue& value, FieldWriter& out, WorkerFrame* frame) {
  const Tensor& tensor = value.tensor;
  const size_t bytes = value.resident == 0 ? tensor.byte_size() : 0;
  out.Number(static_cast<uint8_t>(tensor.dtype()));
  out.Number(static_cast<uint8_t>(tensor.shape().rank()));
  for (const int64_t dim : tensor.shape()) out.Number(dim);
  out.Number<uint64_t>(bytes);
  out.Number(value.resident);
  out.Text(value.title);
  if (bytes == 0) return;
  frame->tensors.push_back(tensor.buffer());
  frame->tensor_bytes += PaddedTo64(bytes);
}

// Whether the bytes are items, each behind its length.
bool HoldsItems(const Buffer& buffer) {
  std::span<const std::byte> rest = buffer.bytes();
  while (!rest.empty()) {
    uint32_t length = 0;
    if (rest.size() < sizeof(length)) return false;
    std::memcpy(&length, rest.data(), sizeof(length));
    rest = rest.subspan(sizeof(length));
    if (rest.size() < length) return false;
    rest = rest.subspan(length);
  }
  return true;
}

Result<Tensor> MakeTensor(DataType dtype, const Shape& shape, Buffer buffer) {
  if (!IsText(dtype)) return Tensor::Create(dtype, shape, std::move(buffer));
  if (!shape.is_known() || !HoldsItems(buffer)) {
    return InvalidArgument(StrCat(dtype, shape, " holds other bytes than those of items"));
  }
  return Tensor(dtype, shape, std::move(buffer));
}

// Hands the bytes of one tensor after the other out.
class TensorBytes {
 public:
  explicit TensorBytes(const Buffer& all) : all_(all) {}

  Result<Buffer> Next(uint64_t size) {
    if (size > all_.size() - at_ || PaddedTo64(size) > all_.size() - at_) {
      return InvalidArgument(StrCat("a tensor of ", size, " bytes came with ", all_.size() - at_));
    }
    Buffer buffer = all_.Slice(at_, size);
    at_ += PaddedTo64(size);
    return buffer;
  }
  bool at_end() const { return at_ == all_.size(); }

 private:
  const Buffer& all_;
  size_t at_ = 0;
};

Result<WorkerValue> ReadValue(FieldReader& in, TensorBytes& bytes) {
  const auto dtype = static_cast<DataType>(in.Number<uint8_t>());
  const auto rank = in.Number<uint8_t>();
  if (dtype == DataType::kUnknown || dtype > DataType::kBytes || rank > Shape::kMaxRank) {
    return InvalidArgument(StrCat("there is no tensor of type ", static_cast<int>(dtype), " with ",
                                  static_cast<int>(rank), " dimensions"));
  }
  std::array<int64_t, Shape::kMaxRank> dims{};
  for (size_t i = 0; i < rank; ++i) dims[i] = in.Number<int64_t>();
  const auto size = in.Number<uint64_t>();
  WorkerValue value;
  value.resident = in.Number<uint64_t>();
  value.title = in.Text();
  PIPESERVE_ASSIGN_OR_RETURN(const Shape shape, Shape::Create(std::span(dims).first(rank)));
  if (value.resident != 0) {
    value.tensor = Tensor(dtype, shape, Buffer());
    return value;
  }
  PIPESERVE_ASSIGN_OR_RETURN(Buffer buffer, bytes.Next(size));
  PIPESERVE_ASSIGN_OR_RETURN(value.tensor, MakeTensor(dtype, shape, std::move(buffer)));
  return value;
}

void WriteInstance(const Result<std::vector<WorkerValue>>& instance, FieldWriter& out,
                   WorkerFrame* frame) {
  if (!instance.ok()) return WriteStatus(instance.status(), out);
  out.Number(static_cast<uint32_t>(StatusCode::kOk));
  out.Number(static_cast<uint32_t>(instance->size()));
  for (const WorkerValue& value : *instance) WriteValue(value, out, frame);
}

// Adds one instance.
Status ReadInstance(FieldReader& in, TensorBytes& bytes, WorkerMessage::Instances* instances) {
  const auto code = in.Number<uint32_t>();
  if (code != static_cast<uint32_t>(StatusCode::kOk)) {
    Status status;
    PIPESERVE_RETURN_IF_ERROR(ReadStatus(code, in, &status));
    instances->emplace_back(std::move(status));
    return OkStatus();
  }
  std::vector<WorkerValue> values(in.Count(kLeastValue));
  for (WorkerValue& value : values) {
    PIPESERVE_ASSIGN_OR_RETURN(value, ReadValue(in, bytes));
  }
  instances->emplace_back(std::move(values));
  return OkStatus();
}

}  // namespace

std::array<std::byte, WorkerFrameHead::kSize> WorkerFrameHead::Encode() const {
  std::array<std::byte, kSize> bytes;
  std::memcpy(bytes.data(), &field_bytes, sizeof(field_bytes));
  std::memcpy(bytes.data() + sizeof(field_bytes), &tensor_bytes, sizeof(tensor_bytes));
  return bytes;
}

Result<WorkerFrameHead> WorkerFrameHead::Decode(std::span<const std::byte, kSize> bytes) {
  WorkerFrameHead head;
  std::memcpy(&head.field_bytes, bytes.data(), sizeof(head.field_bytes));
  std::memcpy(&head.tensor_bytes, bytes.data() + sizeof(head.field_bytes),
              sizeof(head.tensor_bytes));
  if (head.field_bytes <= kMaxFieldBytes && head.tensor_bytes <= kMaxTensorBytes) return head;
  return InvalidArgument(StrCat("a frame of ", head.field_bytes, " and ", head.tensor_bytes,
                                " bytes, at most ", kMaxFieldBytes, " and ", kMaxTensorBytes,
                                " are allowed"));
}

Result<WorkerFrame> EncodeWorkerMessage(const WorkerMessage& message) {
  WorkerFrame frame;
  frame.text.resize(WorkerFrameHead::kSize);
  FieldWriter out(&frame.text);
  out.Number(static_cast<uint8_t>(message.kind));
  out.Number(static_cast<uint8_t>(message.keep));
  out.Number(message.number);
  out.Number(message.nanoseconds);
  out.Text(message.name);
  WriteStatus(message.status, out);
  out.Number(static_cast<uint32_t>(message.released.size()));
  for (const uint64_t number : message.released) out.Number(number);
  out.Number(static_cast<uint32_t>(message.instances.size()));
  for (const auto& instance : message.instances) WriteInstance(instance, out, &frame);
  const auto head =
      WorkerFrameHead{frame.text.size() - WorkerFrameHead::kSize, frame.tensor_bytes}.Encode();
  PIPESERVE_RETURN_IF_ERROR(WorkerFrameHead::Decode(head).status());
  std::copy(head.begin(), head.end(), frame.text.begin());
  return frame;
}

Result<WorkerMessage> DecodeWorkerMessage(std::span<const std::byte> fields,
                                          const Buffer& tensors) {
  FieldReader in(fields);
  TensorBytes bytes(tensors);
  WorkerMessage message;
  message.kind = static_cast<WorkerMessageKind>(in.Number<uint8_t>());
  if (message.kind < WorkerMessageKind::kCall || message.kind > kLastKind) {
    return InvalidArgument(StrCat("there is no message of kind ", static_cast<int>(message.kind)));
  }
  message.keep = in.Number<uint8_t>() != 0;
  message.number = in.Number<uint64_t>();
  message.nanoseconds = in.Number<int64_t>();
  message.name = in.Text();
  PIPESERVE_RETURN_IF_ERROR(ReadStatus(in.Number<uint32_t>(), in, &message.status));
  message.released.resize(in.Count(kReleasedNumber));
  for (uint64_t& number : message.released) number = in.Number<uint64_t>();
  const size_t count = in.Count(kLeastInstance);
  message.instances.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    PIPESERVE_RETURN_IF_ERROR(ReadInstance(in, bytes, &message.instances));
  }
  if (in.at_end() && bytes.at_end()) return message;
  return InvalidArgument("a message of another length than its fields say");
}

}  // namespace pipeserve
