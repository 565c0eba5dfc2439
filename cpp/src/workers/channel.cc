#include "workers/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

constexpr std::chrono::minutes kStalled{1};
// Tensors up to here are copied behind the fields, so that one call sends the whole frame.
constexpr size_t kSentWhole = size_t{128} << 10;

// A peer that stands still within a message is as good as gone.
Status StalledIsGone(Status status) {
  if (status.code() != StatusCode::kDeadlineExceeded) return status;
  return Unavailable("the peer stands still in the middle of a message");
}

void AppendPadded(const Buffer& buffer, std::vector<std::byte>* out) {
  out->insert(out->end(), buffer.bytes().begin(), buffer.bytes().end());
  out->resize(out->size() + PaddedTo64(buffer.size()) - buffer.size());
}

}  // namespace

Result<WorkerChannel> WorkerChannel::Open(int fd) {
  Socket socket(fd);
  int type = 0;
  socklen_t length = sizeof(type);
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_STREAM) {
    return InvalidArgument(StrCat("descriptor ", fd, " is no stream socket"));
  }
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
      fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
    return SocketError("fcntl", errno);
  }
  return WorkerChannel(std::move(socket));
}

WorkerChannel::WorkerChannel(Socket socket)
    : socket_(std::move(socket)), ahead_(new std::byte[kReadAhead]) {}

Status WorkerChannel::Send(const WorkerMessage& message) {
  PIPESERVE_ASSIGN_OR_RETURN(WorkerFrame frame, EncodeWorkerMessage(message));
  const WaitLimit limit = Deadline::After(kStalled);
  if (frame.tensor_bytes <= kSentWhole) {
    for (const Buffer& tensor : frame.tensors) AppendPadded(tensor, &frame.text);
    return StalledIsGone(SendAll(socket_, frame.text, limit));
  }
  constexpr std::array<std::byte, kTensorAlignment> kPadding{};
  PIPESERVE_RETURN_IF_ERROR(StalledIsGone(SendAll(socket_, frame.text, limit)));
  for (const Buffer& tensor : frame.tensors) {
    const size_t padding = PaddedTo64(tensor.size()) - tensor.size();
    PIPESERVE_RETURN_IF_ERROR(StalledIsGone(SendAll(socket_, tensor.bytes(), limit)));
    PIPESERVE_RETURN_IF_ERROR(
        StalledIsGone(SendAll(socket_, std::span(kPadding).first(padding), limit)));
  }
  return OkStatus();
}

Status WorkerChannel::Await(const WaitLimit& limit) {
  while (waiting_.empty()) {
    const std::span ahead(ahead_.get(), kReadAhead);
    PIPESERVE_ASSIGN_OR_RETURN(const size_t received, ReceiveSome(socket_, ahead));
    waiting_ = ahead.first(received);
    if (received != 0) break;
    pollfd polled{.fd = socket_.fd(), .events = POLLIN, .revents = 0};
    PIPESERVE_RETURN_IF_ERROR(PollUntil(std::span(&polled, 1), limit));
  }
  return OkStatus();
}

Status WorkerChannel::Fill(std::span<std::byte> bytes) {
  const size_t there = std::min(bytes.size(), waiting_.size());
  std::copy_n(waiting_.begin(), there, bytes.begin());
  waiting_ = waiting_.subspan(there);
  return StalledIsGone(ReceiveAll(socket_, bytes.subspan(there), Deadline::After(kStalled)));
}

Result<WorkerMessage> WorkerChannel::Receive() {
  std::array<std::byte, WorkerFrameHead::kSize> head_bytes;
  PIPESERVE_RETURN_IF_ERROR(Fill(head_bytes));
  PIPESERVE_ASSIGN_OR_RETURN(const WorkerFrameHead head, WorkerFrameHead::Decode(head_bytes));
  std::vector<std::byte> fields(head.field_bytes);
  PIPESERVE_RETURN_IF_ERROR(Fill(fields));
  Buffer tensors = Buffer::Allocate(head.tensor_bytes);
  PIPESERVE_RETURN_IF_ERROR(Fill({tensors.mutable_data(), tensors.size()}));
  return DecodeWorkerMessage(fields, tensors);
}

void WorkerChannel::Shutdown() { shutdown(socket_.fd(), SHUT_RDWR); }

}  // namespace pipeserve
