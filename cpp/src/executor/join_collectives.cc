#include "executor/join_collectives.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <utility>

#include "base/str_cat.h"
#include "base/unix_socket.h"
#include "executor/shm_communicator.h"
#include "executor/socket_communicator.h"
#include "pipeserve/log.h"

namespace pipeserve {
namespace {

// What all will use. kAuto is shared memory if it is to be had.
struct Choice {
  Collectives way = Collectives::kAuto;
  std::string reason;  // Of kSockets.
};

// What the ranks tell each other about shared memory over the mesh, in this order: rank 0 offers it
// at a unix socket ("yes" and its name), every rank answers whether it has it, rank 0 tells what
// all will use. "No" comes with the reason.
struct Note {
  uint32_t yes = 0;
  std::array<char, 252> text{};

  static Note Yes(const std::string& text = "") { return Make(1, text); }
  static Note No(const std::string& reason) { return Make(0, reason); }
  std::string Text() const { return std::string(text.data(), strnlen(text.data(), text.size())); }

 private:
  static Note Make(uint32_t yes, const std::string& text) {
    Note note{.yes = yes};
    std::memcpy(note.text.data(), text.data(), std::min(text.size(), note.text.size()));
    return note;
  }
};

// With the memory; says whose it is.
struct Delivery {
  uint64_t epoch = 0;
  uint64_t ranks = 0;
  friend bool operator==(const Delivery&, const Delivery&) = default;
};

template <typename Message>
std::span<const std::byte> BytesOf(const Message& message) {
  return std::as_bytes(std::span(&message, 1));
}
template <typename Message>
std::span<std::byte> BytesOf(Message& message) {
  return std::as_writable_bytes(std::span(&message, 1));
}

// Tells every peer what this rank wants; returns what all want, by rank.
Result<std::vector<Collectives>> SwapWishes(std::span<const Socket> mesh, Collectives wanted,
                                            const WaitLimit& limit) {
  std::vector<Collectives> wishes(mesh.size(), wanted);
  for (size_t peer = 0; peer < mesh.size(); ++peer) {
    if (!mesh[peer].is_open()) continue;
    PIPESERVE_RETURN_IF_ERROR(
        SendAll(mesh[peer], BytesOf(wanted), limit).WithContext(StrCat("telling rank ", peer)));
  }
  for (size_t peer = 0; peer < mesh.size(); ++peer) {
    if (!mesh[peer].is_open()) continue;
    PIPESERVE_RETURN_IF_ERROR(ReceiveAll(mesh[peer], BytesOf(wishes[peer]), limit)
                                  .WithContext(StrCat("listening to rank ", peer)));
  }
  return wishes;
}

// Every rank chooses from the same wishes and comes to the same.
Result<Choice> Choose(std::span<const Collectives> wishes) {
  const auto first = [&](Collectives wish) -> int {  // -1 when there is none.
    const auto found = std::ranges::find(wishes, wish);
    return found == wishes.end() ? -1 : static_cast<int>(found - wishes.begin());
  };
  const int gloo = first(Collectives::kGloo), sockets = first(Collectives::kSockets);
  const int memory = first(Collectives::kSharedMemory);
  if (gloo >= 0 && (sockets >= 0 || memory >= 0)) {
    return FailedPrecondition(StrCat("ranks disagree about what carries collectives: rank ", gloo,
                                     " was told to use Gloo, rank ",
                                     sockets >= 0 ? sockets : memory, " to use ",
                                     sockets >= 0 ? "sockets" : "shared memory"));
  }
  if (gloo >= 0) return Choice{.way = Collectives::kGloo, .reason = ""};
  if (sockets < 0) return Choice{};
  return Choice{.way = Collectives::kSockets,
                .reason = StrCat("rank ", sockets, ": it was told to use sockets")};
}

// Whether all ranks can share memory.
class Negotiation {
 public:
  Negotiation(int rank, uint64_t epoch, std::span<const Socket> mesh, const WaitLimit& limit)
      : rank_(rank), epoch_(epoch), mesh_(mesh), limit_(limit) {}

  // The memory that all ranks have, or why they do not: a Note that says "no".
  Result<Note> Run() { return rank_ == 0 ? Offer() : Answer(); }
  std::optional<ShmSegment> Take() { return std::move(segment_); }

 private:
  int ranks() const { return static_cast<int>(mesh_.size()); }
  Delivery delivery() const { return {.epoch = epoch_, .ranks = mesh_.size()}; }

  // Rank 0.
  Result<Note> Offer();
  Result<UnixListener> Prepare();
  Status Deliver(const UnixListener& listener);
  Result<Note> CollectAnswers(const UnixListener& listener);
  Status TellAll(const Note& note);

  // The others.
  Result<Note> Answer();
  Status Fetch(const std::string& name);

  const int rank_;
  const uint64_t epoch_;
  const std::span<const Socket> mesh_;
  const WaitLimit limit_;
  std::optional<ShmSegment> segment_;
};

Result<Note> Negotiation::Offer() {
  const Result<UnixListener> listener = Prepare();
  if (!listener.ok()) {
    const Note no = Note::No(StrCat("rank 0: ", listener.status().message()));
    PIPESERVE_RETURN_IF_ERROR(TellAll(no));
    return no;
  }
  PIPESERVE_RETURN_IF_ERROR(TellAll(Note::Yes(listener->name())));
  PIPESERVE_ASSIGN_OR_RETURN(const Note verdict, CollectAnswers(*listener));
  PIPESERVE_RETURN_IF_ERROR(TellAll(verdict));
  return verdict;
}

Result<UnixListener> Negotiation::Prepare() {
  PIPESERVE_ASSIGN_OR_RETURN(segment_, ShmSegment::Create(ranks()));
  return UnixListener::Open();
}

Status Negotiation::TellAll(const Note& note) {
  for (int peer = 1; peer < ranks(); ++peer) {
    PIPESERVE_RETURN_IF_ERROR(
        SendAll(mesh_[peer], BytesOf(note), limit_).WithContext(StrCat("telling rank ", peer)));
  }
  return OkStatus();
}

// Serves those that fetch the memory until every rank has answered.
Result<Note> Negotiation::CollectAnswers(const UnixListener& listener) {
  Note verdict = Note::Yes();
  std::vector<pollfd> polled{{.fd = listener.socket().fd(), .events = POLLIN, .revents = 0}};
  for (int peer = 1; peer < ranks(); ++peer) {
    polled.push_back({.fd = mesh_[peer].fd(), .events = POLLIN, .revents = 0});
  }
  for (int missing = ranks() - 1; missing > 0;) {
    PIPESERVE_RETURN_IF_ERROR(
        PollUntil(polled, limit_).WithContext("waiting for what the ranks say to shared memory"));
    if (polled[0].revents != 0) PIPESERVE_RETURN_IF_ERROR(Deliver(listener));
    for (int peer = 1; peer < ranks(); ++peer) {
      if (polled[peer].fd < 0 || polled[peer].revents == 0) continue;
      Note answer;
      PIPESERVE_RETURN_IF_ERROR(ReceiveAll(mesh_[peer], BytesOf(answer), limit_)
                                    .WithContext(StrCat("listening to rank ", peer)));
      if (answer.yes == 0) verdict = Note::No(StrCat("rank ", peer, ": ", answer.Text()));
      polled[peer].fd = -1;
      --missing;
    }
  }
  return verdict;
}

// Whoever knows the name and is of this user gets the memory. One that hangs up gets none; if it is
// a rank it will say so.
Status Negotiation::Deliver(const UnixListener& listener) {
  PIPESERVE_ASSIGN_OR_RETURN(const Socket socket, listener.AcceptWaiting());
  if (!socket.is_open()) return OkStatus();
  const Delivery ours = delivery();
  const int fd = segment_->fd();
  const Status status = SendMessage(socket, BytesOf(ours), std::span(&fd, 1), limit_);
  return status.code() == StatusCode::kUnavailable ? OkStatus() : status;
}

Result<Note> Negotiation::Answer() {
  Note offer;
  PIPESERVE_RETURN_IF_ERROR(
      ReceiveAll(mesh_[0], BytesOf(offer), limit_).WithContext("listening to rank 0"));
  if (offer.yes == 0) return offer;
  const Status fetched = Fetch(offer.Text());
  const Note answer = fetched.ok() ? Note::Yes() : Note::No(fetched.message());
  PIPESERVE_RETURN_IF_ERROR(
      SendAll(mesh_[0], BytesOf(answer), limit_).WithContext("telling rank 0"));
  Note verdict;
  PIPESERVE_RETURN_IF_ERROR(
      ReceiveAll(mesh_[0], BytesOf(verdict), limit_).WithContext("listening to rank 0"));
  if (verdict.yes != 0 && !segment_) {
    return FailedPrecondition("rank 0 says that this rank has shared memory, and it has none");
  }
  return verdict;
}

Status Negotiation::Fetch(const std::string& name) {
  PIPESERVE_ASSIGN_OR_RETURN(const Socket socket, DialUnix(name));
  Delivery came;
  PIPESERVE_ASSIGN_OR_RETURN(std::vector<FileDescriptor> descriptors,
                             ReceiveMessage(socket, BytesOf(came), 1, limit_));
  if (came != delivery()) {
    return FailedPrecondition("the shared memory is of another group or epoch");
  }
  PIPESERVE_ASSIGN_OR_RETURN(segment_, ShmSegment::Map(std::move(descriptors[0]), ranks()));
  return OkStatus();
}

// The host of "ip:port" or "[ip]:port".
std::string HostOf(const std::string& address) {
  const std::string host = address.substr(0, address.rfind(':'));
  return host.starts_with('[') ? host.substr(1, host.size() - 2) : host;
}

}  // namespace

Result<std::shared_ptr<Communicator>> JoinCollectives(const SocketListener& listener, int rank,
                                                      std::span<const std::string> peers,
                                                      const GroupEpoch& epoch,
                                                      const WaitLimit& limit, Collectives wanted,
                                                      ConnectGloo gloo) {
  PIPESERVE_ASSIGN_OR_RETURN(std::vector<Socket> mesh,
                             ConnectMesh(listener, rank, peers, epoch, limit));
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<Collectives> wishes,
                             SwapWishes(mesh, wanted, limit));
  PIPESERVE_ASSIGN_OR_RETURN(Choice choice, Choose(wishes));
  if (choice.way == Collectives::kGloo) {
    if (gloo == nullptr) return FailedPrecondition("this program is not linked with Gloo");
    return gloo(rank, HostOf(peers[rank]), std::move(mesh), limit);
  }
  if (choice.way == Collectives::kAuto) {
    Negotiation negotiation(rank, epoch.number, mesh, limit);
    PIPESERVE_ASSIGN_OR_RETURN(const Note verdict, negotiation.Run());
    std::optional<ShmSegment> segment = negotiation.Take();
    if (verdict.yes != 0) {
      return std::shared_ptr<Communicator>(
          std::make_shared<ShmCommunicator>(rank, std::move(mesh), *std::move(segment)));
    }
    choice.reason = verdict.Text();
  }
  if (wanted == Collectives::kSharedMemory) {
    return FailedPrecondition(StrCat("no shared memory for collectives: ", choice.reason));
  }
  if (wanted == Collectives::kAuto && rank == 0) {
    Log(LogLevel::kInfo, "collectives go over sockets", {{"reason", choice.reason}});
  }
  return std::shared_ptr<Communicator>(std::make_shared<SocketCommunicator>(rank, std::move(mesh)));
}

}  // namespace pipeserve
