#include "executor/socket_communicator.h"

#include <sys/socket.h>
#include <sys/uio.h>

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
    : ExchangeCommunicator(rank, static_cast<int>(sockets.size())), peers_(sockets.size()) {
  for (size_t i = 0; i < sockets.size(); ++i) peers_[i].socket = std::move(sockets[i]);
  polled_.reserve(sockets.size());
}

Status SocketCommunicator::Exchange(std::span<const int32_t> group, const CollectiveCall& call,
                                    const void* input, std::byte* pieces, Deadline deadline) {
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
    if (peer != rank()) PIPESERVE_RETURN_IF_ERROR(Send(peer));
  }
  while (SelectPending(group)) {
    PIPESERVE_RETURN_IF_ERROR(WaitReady(group, call, deadline));
    for (size_t i = 0; i < group.size(); ++i) {
      if (polled_[i].revents == 0) continue;
      if (polled_[i].events == 0) {
        return Unavailable(StrCat("rank ", group[i], " is gone: it reset its connection"));
      }
      PIPESERVE_RETURN_IF_ERROR(Send(group[i]));
      PIPESERVE_RETURN_IF_ERROR(Receive(group[i], call));
    }
  }
  return OkStatus();
}

void SocketCommunicator::Start(std::span<const int32_t> group, const CollectiveCall& call) {
  for (const int32_t each : group) {
    Peer& peer = peers_[each];
    peer.outgoing = {.sequence = ++peer.sequence,
                     .bytes = call.bytes,
                     .members = call.members,
                     .kind = static_cast<uint8_t>(call.kind),
                     .dtype = static_cast<uint8_t>(call.dtype)};
    peer.sent = peer.received = 0;
  }
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
  return DeadlineExceeded(StrCat("rank ", group[missing - polled_.begin()], " did not come to ",
                                 call.ToString(), " of rank ", rank(), " before the deadline"));
}

Status SocketCommunicator::Send(int32_t rank) {
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

Status SocketCommunicator::Receive(int32_t rank, const CollectiveCall& call) {
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
  const Header& wanted = peers_[rank].outgoing;
  if (came == wanted) return OkStatus();
  const CollectiveCall peer_call{.kind = static_cast<CollectiveCall::Kind>(came.kind),
                                 .dtype = static_cast<DataType>(came.dtype),
                                 .members = came.members,
                                 .bytes = came.bytes};
  if (peer_call != call) return Disagreement(this->rank(), call, rank, peer_call);
  return FailedPrecondition(StrCat("ranks disagree about a collective: ", call.ToString(),
                                   " is number ", wanted.sequence, " for rank ", this->rank(),
                                   " and number ", came.sequence, " for rank ", rank));
}

// The peers see a reset, also those that wait for a third rank only. One that is destroyed in order
// just ends its connections, which does not disturb an operation it has finished.
void SocketCommunicator::Disconnect(const Status&) {
  for (const Peer& peer : peers_) ResetConnection(peer.socket);
}

}  // namespace pipeserve
