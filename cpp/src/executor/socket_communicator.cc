#include "executor/socket_communicator.h"

#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "base/str_cat.h"
#include "executor/reduce.h"
#include "executor/slice.h"

namespace pipeserve {
namespace {

// The part of `header` and then `payload` that is left after `done` bytes.
std::array<iovec, 2> Rest(void* header, size_t header_bytes, void* payload, size_t payload_bytes,
                          size_t done) {
  const size_t of_header = std::min(done, header_bytes), of_payload = done - of_header;
  // No arithmetic on `payload` when it may be null.
  auto* rest = payload_bytes == 0 ? payload : static_cast<std::byte*>(payload) + of_payload;
  return {{{static_cast<std::byte*>(header) + of_header, header_bytes - of_header},
           {rest, payload_bytes - of_payload}}};
}

msghdr MessageOf(std::array<iovec, 2>& parts) {
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  return message;
}

// True when a sum is faster if every member adds a slice of it, although that takes a second round.
// Among two members it saves no bytes.
bool PaysToShare(size_t members, size_t bytes) {
  constexpr size_t kLeastBytes = size_t{64} << 10;
  return members > 2 && bytes >= kLeastBytes;
}

}  // namespace

SocketCommunicator::SocketCommunicator(int rank, std::vector<Socket> sockets)
    : ExchangeCommunicator(rank, static_cast<int>(sockets.size())),
      peers_(sockets.size()),
      wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      outbox_(rank, static_cast<int>(sockets.size()), this,
              [this](Status reason) { Break(std::move(reason)); }) {
  for (size_t i = 0; i < sockets.size(); ++i) peers_[i].socket = std::move(sockets[i]);
  polled_.reserve(sockets.size());
}

Status SocketCommunicator::Exchange(std::span<const int32_t> group, const CollectiveCall& call,
                                    const void* input, std::byte* pieces, Deadline deadline) {
  PIPESERVE_RETURN_IF_ERROR(TakeSending(group, call, deadline));
  for (size_t i = 0; i < group.size(); ++i) {
    // No arithmetic on `pieces` when it may be null.
    std::byte* const piece = call.bytes == 0 ? nullptr : pieces + i * call.bytes;
    if (group[i] == rank()) CopyPiece(piece, input, call.bytes);
    peers_[group[i]].source = {static_cast<const std::byte*>(input), call.bytes};
    peers_[group[i]].piece = {piece, call.bytes};
  }
  return Move(group, call, deadline);
}

Status SocketCommunicator::Reduce(std::span<const int32_t> group, const CollectiveCall& call,
                                  const void* input, void* output, Deadline deadline) {
  if (PaysToShare(group.size(), call.bytes)) return SumSlices(group, call, input, output, deadline);
  return ExchangeCommunicator::Reduce(group, call, input, output, deadline);
}

Status SocketCommunicator::SumSlices(std::span<const int32_t> group, const CollectiveCall& call,
                                     const void* input, void* output, Deadline deadline) {
  PIPESERVE_RETURN_IF_ERROR(TakeSending(group, call, deadline));
  const size_t own = std::ranges::lower_bound(group, rank()) - group.begin();
  const Slice mine(own, group.size(), call.bytes);
  slices_.resize(std::max(slices_.size(), group.size() * mine.length));
  const std::span source(static_cast<const std::byte*>(input), call.bytes);
  const std::span sums(static_cast<std::byte*>(output), call.bytes);
  std::vector<const std::byte*> addends;
  for (size_t i = 0; i < group.size(); ++i) {
    const Slice slice(i, group.size(), call.bytes);
    const std::span addend = std::span(slices_).subspan(i * mine.length, mine.length);
    peers_[group[i]].source = source.subspan(slice.begin, slice.length);
    peers_[group[i]].piece = addend;
    addends.push_back(addend.data());
  }
  CopyPiece(slices_.data() + own * mine.length, source.data() + mine.begin, mine.length);
  PIPESERVE_RETURN_IF_ERROR(Move(group, call, deadline));
  const std::span sum = sums.subspan(mine.begin, mine.length);
  SumInRankOrder(call.dtype, addends, mine.length / DataTypeSize(call.dtype), sum.data());
  for (size_t i = 0; i < group.size(); ++i) {
    const Slice slice(i, group.size(), call.bytes);
    peers_[group[i]].source = sum;
    peers_[group[i]].piece = sums.subspan(slice.begin, slice.length);
  }
  return Move(group, call, deadline);
}

Status SocketCommunicator::Move(std::span<const int32_t> group, const CollectiveCall& call,
                                Deadline deadline) {
  Start(group, call);
  for (const int32_t peer : group) {
    // The sockets have room for most pieces, so that sending first saves a poll().
    if (peer != rank()) PIPESERVE_RETURN_IF_ERROR(SendSome(peer));
  }
  while (SelectPending(group)) {
    PIPESERVE_RETURN_IF_ERROR(WaitReady(group, call, deadline));
    for (size_t i = 0; i < group.size(); ++i) {
      if (polled_[i].revents == 0) continue;
      if (polled_[i].events == 0) {
        return Unavailable(StrCat("rank ", group[i], " is gone: it reset its connection"));
      }
      PIPESERVE_RETURN_IF_ERROR(SendSome(group[i]));
      PIPESERVE_RETURN_IF_ERROR(ReceiveSome(group[i], call));
    }
  }
  return OkStatus();
}

Status SocketCommunicator::TakeSending(std::span<const int32_t> group, const CollectiveCall& call,
                                       Deadline deadline) {
  for (const int32_t each : group) {
    if (each != rank()) PIPESERVE_RETURN_IF_ERROR(outbox_.AwaitEmpty(each, call, deadline));
  }
  return OkStatus();
}

void SocketCommunicator::Start(std::span<const int32_t> group, const CollectiveCall& call) {
  for (const int32_t each : group) {
    if (each == rank()) continue;
    Peer& peer = peers_[each];
    peer.outgoing = HeaderOf(call, ++peer.sent_count);
    peer.wanted = HeaderOf(call, ++peer.received_count);
    peer.sent = peer.received = 0;
  }
}

SocketCommunicator::Header SocketCommunicator::HeaderOf(const CollectiveCall& call,
                                                        uint64_t sequence) {
  return {.sequence = sequence,
          .bytes = call.bytes,
          .members = call.members,
          .kind = static_cast<uint8_t>(call.kind),
          .dtype = static_cast<uint8_t>(call.dtype),
          .tag = call.tag};
}

bool SocketCommunicator::SelectPending(std::span<const int32_t> group) {
  bool pending = false;
  polled_.clear();
  for (const int32_t each : group) {
    const Peer& peer = peers_[each];
    short events = 0;
    if (each != rank() && peer.sent < sizeof(Header) + peer.source.size()) events |= POLLOUT;
    if (each != rank() && peer.received < sizeof(Header) + peer.piece.size()) events |= POLLIN;
    // A peer that is done is asked for nothing, but poll() still tells when it breaks.
    polled_.push_back({.fd = peer.socket.fd(), .events = events, .revents = 0});
    pending |= events != 0;
  }
  return pending;
}

Status SocketCommunicator::WaitReady(std::span<const int32_t> group, const CollectiveCall& call,
                                     Deadline deadline) {
  const Status status = PollUntil(polled_, deadline);
  if (status.code() != StatusCode::kDeadlineExceeded) return status;
  const auto missing = std::ranges::find_if(polled_, [](const pollfd& p) { return p.events != 0; });
  return DidNotCome(rank(), call, group[missing - polled_.begin()]);
}

Status SocketCommunicator::SendSome(int32_t rank) {
  Peer& peer = peers_[rank];
  while (peer.sent < sizeof(Header) + peer.source.size()) {
    auto* const source = const_cast<std::byte*>(peer.source.data());
    auto parts = Rest(&peer.outgoing, sizeof(Header), source, peer.source.size(), peer.sent);
    const msghdr message = MessageOf(parts);
    const ssize_t sent = sendmsg(peer.socket.fd(), &message, MSG_NOSIGNAL);
    if (sent >= 0) {
      peer.sent += sent;
    } else if (errno == EAGAIN) {
      return OkStatus();
    } else if (errno != EINTR) {
      return SocketError(StrCat("rank ", rank, " is gone"), errno);
    }
  }
  return OkStatus();
}

Status SocketCommunicator::ReceiveSome(int32_t rank, const CollectiveCall& call) {
  Peer& peer = peers_[rank];
  while (peer.received < sizeof(Header) + peer.piece.size()) {
    auto parts =
        Rest(&peer.incoming, sizeof(Header), peer.piece.data(), peer.piece.size(), peer.received);
    msghdr message = MessageOf(parts);
    const ssize_t received = recvmsg(peer.socket.fd(), &message, 0);
    if (received == 0) {
      return Unavailable(StrCat("rank ", rank, " is gone: it closed its connection"));
    }
    if (received < 0 && errno == EAGAIN) return OkStatus();
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return SocketError(StrCat("rank ", rank, " is gone"), errno);
    peer.received += received;
    if (peer.received >= sizeof(Header)) PIPESERVE_RETURN_IF_ERROR(CheckHeader(rank, call));
  }
  return OkStatus();
}

Status SocketCommunicator::CheckHeader(int32_t rank, const CollectiveCall& call) const {
  const Header& came = peers_[rank].incoming;
  const Header& wanted = peers_[rank].wanted;
  if (came == wanted) return OkStatus();
  const CollectiveCall peer_call{.kind = static_cast<CollectiveCall::Kind>(came.kind),
                                 .dtype = static_cast<DataType>(came.dtype),
                                 .members = came.members,
                                 .bytes = came.bytes,
                                 .tag = came.tag};
  if (peer_call != call) return Disagreement(this->rank(), call, rank, peer_call);
  return FailedPrecondition(StrCat("ranks disagree about a collective: ", call.ToString(),
                                   " is number ", wanted.sequence, " for rank ", this->rank(),
                                   " and number ", came.sequence, " for rank ", rank));
}

Status SocketCommunicator::SendMessage(int32_t to, const CollectiveCall& message, const void* input,
                                       Deadline deadline) {
  return outbox_.Send(to, message, input, deadline);
}

Result<bool> SocketCommunicator::Carry(int32_t rank, Outgoing* message) {
  Peer& peer = peers_[rank];
  if (message->done == 0) {
    peer.outgoing = HeaderOf(message->call, peer.sent_count + 1);
    peer.sent = 0;
  }
  peer.source = message->bytes;  // Where the message lies now.
  PIPESERVE_RETURN_IF_ERROR(SendSome(rank));
  message->done = peer.sent;
  if (peer.sent < sizeof(Header) + message->bytes.size()) return false;
  ++peer.sent_count;
  return true;
}

Status SocketCommunicator::AwaitRoom(uint32_t, std::span<const int32_t> peers) {
  if (!wake_.is_open()) return ResourceExhausted("no file descriptor was left to wait for peers");
  std::vector<pollfd> polled{{.fd = wake_.fd(), .events = POLLIN, .revents = 0}};
  for (const int32_t peer : peers) {
    polled.push_back({.fd = peers_[peer].socket.fd(), .events = POLLOUT, .revents = 0});
  }
  PIPESERVE_RETURN_IF_ERROR(PollUntil(polled, Deadline::Infinite()));
  eventfd_t count = 0;
  if (polled[0].revents != 0) (void)eventfd_read(wake_.fd(), &count);  // Only to be quiet again.
  return OkStatus();
}

void SocketCommunicator::Wake() { (void)eventfd_write(wake_.fd(), 1); }

Status SocketCommunicator::ReceiveMessage(int32_t from, const CollectiveCall& message, void* output,
                                          Deadline deadline) {
  Peer& peer = peers_[from];
  peer.wanted = HeaderOf(message, ++peer.received_count);
  peer.piece = {static_cast<std::byte*>(output), message.bytes};
  peer.received = 0;
  while (true) {
    PIPESERVE_RETURN_IF_ERROR(ReceiveSome(from, message));
    if (peer.received == sizeof(Header) + message.bytes) return OkStatus();
    pollfd polled{.fd = peer.socket.fd(), .events = POLLIN, .revents = 0};
    const Status status = PollUntil(std::span(&polled, 1), deadline);
    if (status.code() == StatusCode::kDeadlineExceeded) return DidNotCome(rank(), message, from);
    PIPESERVE_RETURN_IF_ERROR(status);
  }
}

// The peers see a reset, also those that wait for a third rank only. One that is destroyed in order
// just ends its connections, which does not disturb an operation it has finished.
void SocketCommunicator::Disconnect(const Status& reason) {
  outbox_.Stop(reason);
  for (const Peer& peer : peers_) ResetConnection(peer.socket);
}

}  // namespace pipeserve
