#include "executor/socket_mesh.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

// The first bytes in both directions: who is speaking to whom. In the byte order of the machine;
// the magic number does not match on one with another order.
struct Hello {
  static constexpr uint64_t kMagic = 0x7069'7065'6d65'7368;
  uint64_t magic = kMagic;
  uint64_t epoch = 0;
  int32_t size = 0;
  int32_t from = 0;
  int32_t to = 0;
  int32_t reserved = 0;
  friend bool operator==(const Hello&, const Hello&) = default;
};
static_assert(sizeof(Hello) == 32);

constexpr std::chrono::milliseconds kRedialPause{5};
// Connections that have not said who they are. The oldest goes when one more comes, so that silent
// strangers cannot use up the descriptors.
constexpr size_t kMaxStrangers = 64;

struct Stranger {
  Socket socket;
  std::array<std::byte, sizeof(Hello)> said{};
  size_t said_bytes = 0;
};

class Mesh {
 public:
  Mesh(const SocketListener& listener, int rank, int size, uint64_t epoch, const WaitLimit& limit)
      : listener_(listener),
        self_{.epoch = epoch, .size = size, .from = rank},
        limit_(limit),
        sockets_(size) {}

  Status DialRank(int peer, const std::string& address);
  Status AcceptHigherRanks();
  std::vector<Socket> Take() { return std::move(sockets_); }

 private:
  Hello HelloTo(int peer) const {
    Hello hello = self_;
    hello.to = peer;
    return hello;
  }
  // A closed socket when the peer refuses.
  Result<Socket> TryDial(int peer, const std::string& address);
  std::vector<int> MissingHigherRanks() const;
  Status AcceptOne();
  // True when the stranger is done with: a member, or refused.
  bool Listen(Stranger& stranger);
  void Admit(Stranger& stranger);

  const SocketListener& listener_;
  const Hello self_;
  const WaitLimit limit_;
  std::vector<Socket> sockets_;
  std::vector<Stranger> strangers_;
};

// A peer that is still in an earlier epoch hangs up; it will come to this one, so it is dialled
// again until the deadline.
Status Mesh::DialRank(int peer, const std::string& address) {
  while (true) {
    Result<Socket> dialled = TryDial(peer, address);
    if (!dialled.ok()) {
      return dialled.status().WithContext(StrCat("rank ", peer, " at ", address));
    }
    if (dialled->is_open()) {
      sockets_[peer] = *std::move(dialled);
      return OkStatus();
    }
    const Deadline pause = Earlier(Deadline::After(kRedialPause), limit_.deadline);
    const Status status = PollUntil({}, {pause, limit_.interrupt});  // Only waits.
    if (status.code() == StatusCode::kAborted) return status;
  }
}

Result<Socket> Mesh::TryDial(int peer, const std::string& address) {
  PIPESERVE_ASSIGN_OR_RETURN(Socket socket, Dial(address, limit_));
  const Hello hello = HelloTo(peer);
  Hello answer;
  Status status = SendAll(socket, std::as_bytes(std::span(&hello, 1)), limit_);
  if (status.ok()) {
    status = ReceiveAll(socket, std::as_writable_bytes(std::span(&answer, 1)), limit_);
  }
  if (status.code() == StatusCode::kUnavailable) return Socket();
  PIPESERVE_RETURN_IF_ERROR(status);
  Hello wanted = self_;
  wanted.from = peer;
  wanted.to = self_.from;
  if (answer != wanted) {
    return FailedPrecondition("whoever answers is not this rank of the same group and epoch");
  }
  return socket;
}

std::vector<int> Mesh::MissingHigherRanks() const {
  std::vector<int> missing;
  for (int peer = self_.from + 1; peer < self_.size; ++peer) {
    if (!sockets_[peer].is_open()) missing.push_back(peer);
  }
  return missing;
}

Status Mesh::AcceptHigherRanks() {
  std::vector<pollfd> polled;
  for (std::vector<int> missing; !(missing = MissingHigherRanks()).empty();) {
    polled.assign(1, {.fd = listener_.socket().fd(), .events = POLLIN, .revents = 0});
    for (const Stranger& stranger : strangers_) {
      polled.push_back({.fd = stranger.socket.fd(), .events = POLLIN, .revents = 0});
    }
    const Status status = PollUntil(polled, limit_);
    if (!status.ok()) {
      return status.WithContext(
          StrCat("waiting for ranks ", StrJoin(missing, ", "), " of epoch ", self_.epoch));
    }
    std::erase_if(strangers_, [this](Stranger& stranger) { return Listen(stranger); });
    if (polled[0].revents != 0) PIPESERVE_RETURN_IF_ERROR(AcceptOne());
  }
  return OkStatus();
}

Status Mesh::AcceptOne() {
  PIPESERVE_ASSIGN_OR_RETURN(Socket socket, AcceptWaiting(listener_.socket()));
  if (!socket.is_open()) return OkStatus();
  if (strangers_.size() == kMaxStrangers) strangers_.erase(strangers_.begin());
  strangers_.emplace_back().socket = std::move(socket);
  return OkStatus();
}

bool Mesh::Listen(Stranger& stranger) {
  const Result<size_t> received =
      ReceiveSome(stranger.socket, std::span(stranger.said).subspan(stranger.said_bytes));
  if (!received.ok()) return true;
  stranger.said_bytes += received.value();
  if (stranger.said_bytes < sizeof(Hello)) return false;
  Admit(stranger);
  return true;
}

void Mesh::Admit(Stranger& stranger) {
  Hello hello;
  std::memcpy(&hello, stranger.said.data(), sizeof(hello));
  Hello wanted = HelloTo(hello.from);
  std::swap(wanted.from, wanted.to);
  if (hello != wanted || hello.from <= self_.from || hello.from >= self_.size) return;
  const Hello answer = HelloTo(hello.from);
  // An answer of this size fits into an empty send buffer; a peer that is gone is found out later.
  if (SendAll(stranger.socket, std::as_bytes(std::span(&answer, 1)), limit_).ok()) {
    sockets_[hello.from] = std::move(stranger.socket);
  }
}

}  // namespace

Result<SocketListener> SocketListener::Open(const std::string& address) {
  PIPESERVE_ASSIGN_OR_RETURN(Socket socket, ListenAt(address));
  PIPESERVE_ASSIGN_OR_RETURN(std::string bound, BoundAddress(socket));
  return SocketListener(std::move(socket), std::move(bound));
}

Result<std::vector<Socket>> ConnectMesh(const SocketListener& listener, int rank,
                                        std::span<const std::string> peers, uint64_t epoch,
                                        const WaitLimit& limit) {
  const int size = static_cast<int>(peers.size());
  if (rank < 0 || rank >= size) {
    return InvalidArgument(StrCat("rank ", rank, " is not one of ", size, " ranks"));
  }
  Mesh mesh(listener, rank, size, epoch, limit);
  for (int peer = 0; peer < rank; ++peer) {
    PIPESERVE_RETURN_IF_ERROR(mesh.DialRank(peer, peers[peer]));
  }
  PIPESERVE_RETURN_IF_ERROR(mesh.AcceptHigherRanks());
  return mesh.Take();
}

}  // namespace pipeserve
