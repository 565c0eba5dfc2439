#include "executor/socket_mesh.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/secret.h"
#include "base/str_cat.h"

namespace pipeserve {
namespace {

// The first bytes in both directions: who is speaking to whom. In the byte order of the machine;
// the magic number does not match on one with another order, or of another version.
struct Hello {
  static constexpr uint64_t kMagic = 0x7069'7065'6d65'7369;
  uint64_t magic = kMagic;
  uint64_t epoch = 0;
  int32_t size = 0;
  int32_t from = 0;
  int32_t to = 0;
  int32_t reserved = 0;
  friend bool operator==(const Hello&, const Hello&) = default;
};
static_assert(sizeof(Hello) == 32);

// What makes the proofs of a connection its own: those of another one are worth nothing here.
using Nonce = std::array<std::byte, 16>;

// The one that dials speaks first, is answered, and then proves itself, too.
struct Opening {
  Hello hello;
  Nonce nonce{};
};
struct Answer {
  Hello hello;
  Nonce nonce{};
  Proof proof{};
};

// What a proof is about: who proves, to whom, on which connection.
struct Claim {
  Hello prover;
  Nonce dialler{};
  Nonce answerer{};
};
static_assert(sizeof(Claim) == 64);  // Without padding.

constexpr std::chrono::milliseconds kRedialPause{5};
// Connections that have not said who they are. The oldest goes when one more comes, so that silent
// strangers cannot use up the descriptors.
constexpr size_t kMaxStrangers = 64;

struct Stranger {
  Socket socket;
  std::array<std::byte, std::max(sizeof(Opening), sizeof(Proof))> said{};
  size_t said_bytes = 0;
  int rank = -1;  // Which it says it is, once it has been answered.
  Proof wanted{};
};

template <typename T>
std::span<const std::byte> BytesOf(const T& value) {
  return std::as_bytes(std::span(&value, 1));
}
template <typename T>
std::span<std::byte> BytesOf(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

class Mesh {
 public:
  Mesh(const SocketListener& listener, int rank, int size, const GroupEpoch& epoch,
       const WaitLimit& limit)
      : listener_(listener),
        self_{.epoch = epoch.number, .size = size, .from = rank},
        secret_(epoch.secret),
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
  Hello HelloFrom(int peer) const {
    Hello hello = self_;
    hello.from = peer;
    hello.to = self_.from;
    return hello;
  }
  Result<Proof> Prove(const Hello& prover, const Nonce& dialler, const Nonce& answerer) const {
    const Claim claim{.prover = prover, .dialler = dialler, .answerer = answerer};
    return ProveSecret(secret_, BytesOf(claim));
  }
  // A closed socket when the peer refuses.
  Result<Socket> TryDial(int peer, const std::string& address);
  Status Introduce(const Socket& socket, int peer);
  std::vector<int> MissingHigherRanks() const;
  Status AcceptOne();
  // True when the stranger is done with: a member, or refused.
  bool Listen(Stranger& stranger);
  // False when it is refused.
  bool AnswerOpening(Stranger& stranger);
  void Admit(Stranger& stranger);

  const SocketListener& listener_;
  const Hello self_;
  const std::string& secret_;
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
  const Status status = Introduce(socket, peer);
  if (status.code() == StatusCode::kUnavailable) return Socket();
  PIPESERVE_RETURN_IF_ERROR(status);
  return socket;
}

Status Mesh::Introduce(const Socket& socket, int peer) {
  Opening opening{.hello = HelloTo(peer)};
  PIPESERVE_RETURN_IF_ERROR(FillRandom(opening.nonce));
  PIPESERVE_RETURN_IF_ERROR(SendAll(socket, BytesOf(std::as_const(opening)), limit_));
  Answer answer;
  PIPESERVE_RETURN_IF_ERROR(ReceiveAll(socket, BytesOf(answer), limit_));
  PIPESERVE_ASSIGN_OR_RETURN(const Proof wanted,
                             Prove(HelloFrom(peer), opening.nonce, answer.nonce));
  if (answer.hello != HelloFrom(peer) || !SameProof(answer.proof, wanted)) {
    return FailedPrecondition("whoever answers is not this rank of the same group and epoch");
  }
  PIPESERVE_ASSIGN_OR_RETURN(const Proof proof, Prove(opening.hello, opening.nonce, answer.nonce));
  return SendAll(socket, BytesOf(proof), limit_);
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
  const size_t wanted = stranger.rank < 0 ? sizeof(Opening) : sizeof(Proof);
  const Result<size_t> received = ReceiveSome(
      stranger.socket,
      std::span(stranger.said).subspan(stranger.said_bytes, wanted - stranger.said_bytes));
  if (!received.ok()) return true;
  stranger.said_bytes += received.value();
  if (stranger.said_bytes < wanted) return false;
  stranger.said_bytes = 0;
  if (stranger.rank < 0) return !AnswerOpening(stranger);
  Admit(stranger);
  return true;
}

bool Mesh::AnswerOpening(Stranger& stranger) {
  Opening opening;
  std::memcpy(&opening, stranger.said.data(), sizeof(opening));
  const int peer = opening.hello.from;
  if (opening.hello != HelloFrom(peer) || peer <= self_.from || peer >= self_.size) return false;
  Answer answer{.hello = HelloTo(peer)};
  if (!FillRandom(answer.nonce).ok()) return false;
  const Result<Proof> own = Prove(answer.hello, opening.nonce, answer.nonce);
  const Result<Proof> wanted = Prove(opening.hello, opening.nonce, answer.nonce);
  if (!own.ok() || !wanted.ok()) return false;
  answer.proof = *own;
  stranger.rank = peer;
  stranger.wanted = *wanted;
  // An answer of this size fits into an empty send buffer.
  return SendAll(stranger.socket, BytesOf(std::as_const(answer)), limit_).ok();
}

// The first that proves to be a rank is it. A peer that is gone is found out later.
void Mesh::Admit(Stranger& stranger) {
  Proof proof;
  std::memcpy(proof.data(), stranger.said.data(), sizeof(proof));
  if (!SameProof(proof, stranger.wanted) || sockets_[stranger.rank].is_open()) return;
  sockets_[stranger.rank] = std::move(stranger.socket);
}

}  // namespace

Result<SocketListener> SocketListener::Open(const std::string& address) {
  PIPESERVE_ASSIGN_OR_RETURN(Socket socket, ListenAt(address));
  PIPESERVE_ASSIGN_OR_RETURN(std::string bound, BoundAddress(socket));
  return SocketListener(std::move(socket), std::move(bound));
}

Result<std::vector<Socket>> ConnectMesh(const SocketListener& listener, int rank,
                                        std::span<const std::string> peers, const GroupEpoch& epoch,
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
