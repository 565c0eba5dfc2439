#include "workers/channel.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <utility>
#include <vector>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

constexpr std::chrono::minutes kStalled{1};
constexpr std::array<std::byte, kTensorAlignment> kPadding{};

// A peer that stands still within a message is as good as gone.
Status StalledIsGone(Status status) {
  if (status.code() != StatusCode::kDeadlineExceeded) return status;
  return Unavailable("the peer stands still in the middle of a message");
}

// Where the parts of a frame lie, in their order. iovec knows no bytes that are only read.
std::vector<iovec> PartsOf(WorkerFrame& frame) {
  std::vector<iovec> parts;
  parts.reserve(1 + 2 * frame.tensors.size());
  parts.push_back({frame.text.data(), frame.text.size()});
  for (Buffer& tensor : frame.tensors) {
    parts.push_back({tensor.mutable_data(), tensor.size()});
    const size_t padding = PaddedTo64(tensor.size()) - tensor.size();
    if (padding != 0) parts.push_back({const_cast<std::byte*>(kPadding.data()), padding});
  }
  return parts;
}

// Without the first `bytes`.
std::span<iovec> Advance(std::span<iovec> parts, size_t bytes) {
  while (!parts.empty() && bytes >= parts.front().iov_len) {
    bytes -= parts.front().iov_len;
    parts = parts.subspan(1);
  }
  if (!parts.empty()) {
    parts.front().iov_base = static_cast<std::byte*>(parts.front().iov_base) + bytes;
    parts.front().iov_len -= bytes;
  }
  return parts;
}

Status SendParts(const Socket& socket, std::span<iovec> parts, const WaitLimit& limit) {
  while (!parts.empty()) {
    msghdr message{};
    message.msg_iov = parts.data();
    message.msg_iovlen = std::min<size_t>(parts.size(), IOV_MAX);
    const ssize_t sent = sendmsg(socket.fd(), &message, MSG_NOSIGNAL);
    if (sent >= 0) {
      parts = Advance(parts, static_cast<size_t>(sent));
    } else if (errno == EAGAIN) {
      pollfd polled{.fd = socket.fd(), .events = POLLOUT, .revents = 0};
      PIPESERVE_RETURN_IF_ERROR(PollUntil(std::span(&polled, 1), limit));
    } else if (errno != EINTR) {
      return SocketError("send", errno);
    }
  }
  return OkStatus();
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
  std::vector<iovec> parts = PartsOf(frame);
  return StalledIsGone(SendParts(socket_, parts, Deadline::After(kStalled)));
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
