#include "executor/gloo_communicator.h"

#include <gloo/transport/context.h>
#include <gloo/transport/tcp/device.h>
#include <gloo/transport/unbound_buffer.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <exception>
#include <iterator>
#include <utility>

#include "base/str_cat.h"
#include "executor/reduce.h"
#include "executor/slice.h"

namespace pipeserve {
namespace {

using Address = std::vector<char>;
using Milliseconds = std::chrono::milliseconds;

// Pieces up to this size travel in the frame.
constexpr size_t kInlineBytes = size_t{16} << 10;
constexpr Milliseconds kConnectLimit{10'000};
// Gloo keeps messages of different slots apart.
constexpr uint64_t kFrameSlot = 0, kRestSlot = 1, kMessageSlot = 2, kMessageRestSlot = 3;

// An address of Gloo as it travels over the mesh.
struct AddressNote {
  uint64_t size = 0;
  std::array<char, gloo::transport::Address::kMaxByteSize> bytes{};
};

// Gloo counts milliseconds, adds them to the time of now, and takes zero for "no limit".
Milliseconds TimeoutOf(Deadline deadline) {
  constexpr Milliseconds kForever = std::chrono::hours(100);
  const Duration left = std::min<Duration>(deadline.Remaining(), kForever);
  return std::max(std::chrono::ceil<Milliseconds>(left), Milliseconds(1));
}

// What Gloo says, without the place in its source.
std::string Explain(const std::exception& error) {
  const std::string text = error.what();
  const size_t end = text.starts_with('[') ? text.find("] ") : std::string::npos;
  return end == std::string::npos ? text : text.substr(end + 2);
}

// Runs `action`, which throws what Gloo has to say about `peer`.
template <typename Action>
Status Try(int32_t peer, const Action& action) {
  try {
    action();
    return OkStatus();
  } catch (const std::exception& error) {
    return Unavailable(StrCat("rank ", peer, " is gone: ", Explain(error)));
  }
}

size_t IndexOf(std::span<const int32_t> group, int32_t rank) {
  return std::ranges::lower_bound(group, rank) - group.begin();
}

std::vector<int32_t> PeersIn(std::span<const int32_t> group, int32_t rank) {
  std::vector<int32_t> peers;
  std::ranges::remove_copy(group, std::back_inserter(peers), rank);
  return peers;
}

// A place to wait for each peer. Gloo throws.
std::vector<Address> CreatePairs(gloo::transport::Context& context) {
  std::vector<Address> addresses(context.size);
  for (int peer = 0; peer < context.size; ++peer) {
    if (peer != context.rank) addresses[peer] = context.createPair(peer)->address().bytes();
  }
  return addresses;
}

// Tells each peer where this rank waits for it; returns where they wait for this rank.
Result<std::vector<Address>> SwapAddresses(std::span<const Socket> mesh,
                                           std::span<const Address> own, const WaitLimit& limit) {
  std::vector<Address> theirs(mesh.size());
  for (size_t peer = 0; peer < mesh.size(); ++peer) {
    if (!mesh[peer].is_open()) continue;
    AddressNote note{.size = own[peer].size()};
    std::ranges::copy(own[peer], note.bytes.begin());
    PIPESERVE_RETURN_IF_ERROR(SendAll(mesh[peer], std::as_bytes(std::span(&note, 1)), limit)
                                  .WithContext(StrCat("telling rank ", peer)));
  }
  for (size_t peer = 0; peer < mesh.size(); ++peer) {
    if (!mesh[peer].is_open()) continue;
    AddressNote note;
    const auto bytes = std::as_writable_bytes(std::span(&note, 1));
    PIPESERVE_RETURN_IF_ERROR(
        ReceiveAll(mesh[peer], bytes, limit).WithContext(StrCat("listening to rank ", peer)));
    if (note.size > note.bytes.size()) {
      return FailedPrecondition(StrCat("rank ", peer, " sent an address of ", note.size,
                                       " bytes, at most ", note.bytes.size(), " were wanted"));
    }
    theirs[peer].assign(note.bytes.begin(), note.bytes.begin() + note.size);
  }
  return theirs;
}

}  // namespace

GlooCommunicator::Frame::Frame() : bytes(sizeof(CollectiveCall) + kInlineBytes) {}

void GlooCommunicator::Frame::Fill(const CollectiveCall& call, const void* input, size_t inlined) {
  std::memcpy(bytes.data(), &call, sizeof(call));
  CopyPiece(piece(), input, inlined);
}

GlooCommunicator::GlooCommunicator(int rank, std::vector<Socket> mesh,
                                   std::shared_ptr<Context> context)
    : ExchangeCommunicator(rank, static_cast<int>(mesh.size())),
      mesh_(std::move(mesh)),
      context_(std::move(context)),
      peers_(mesh_.size()),
      watch_(mesh_, [this] { OnPeerGone(); }) {}

GlooCommunicator::~GlooCommunicator() = default;  // Here the types of Gloo are known.

Result<std::shared_ptr<Communicator>> GlooCommunicator::Connect(int rank, const std::string& host,
                                                                std::vector<Socket> mesh,
                                                                const WaitLimit& limit) {
  std::shared_ptr<Context> context;
  std::vector<Address> own;
  try {
    const auto device = gloo::transport::tcp::CreateDevice(host.c_str());
    context = device->createContext(rank, static_cast<int>(mesh.size()));
    context->setTimeout(std::min(TimeoutOf(limit.deadline), kConnectLimit));
    own = CreatePairs(*context);
  } catch (const std::exception& error) {
    return Unavailable(StrCat("Gloo cannot listen at ", host, ": ", Explain(error)));
  }
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<Address> theirs, SwapAddresses(mesh, own, limit));
  std::shared_ptr<GlooCommunicator> made(
      new GlooCommunicator(rank, std::move(mesh), std::move(context)));
  PIPESERVE_RETURN_IF_ERROR(made->ConnectPairs(theirs, limit).WithContext("connecting Gloo"));
  return std::shared_ptr<Communicator>(std::move(made));
}

Status GlooCommunicator::ConnectPairs(std::span<const Address> addresses, const WaitLimit& limit) {
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == rank()) continue;
    const Status connected = Try(peer, [&] { context_->getPair(peer)->connect(addresses[peer]); });
    if (!connected.ok() && limit.deadline.HasPassed()) {
      return DeadlineExceeded(StrCat("rank ", peer, " did not connect before the deadline"));
    }
    PIPESERVE_RETURN_IF_ERROR(connected);
    // A pair that OnPeerGone() has closed passes for a connected one.
    for (int each = 0; each < size(); ++each) {
      if (watch_.IsGone(each)) return Unavailable(StrCat("rank ", each, " is gone"));
    }
    peers_[peer].incoming = OpenWindow(peers_[peer].frame.bytes);
    peers_[peer].outgoing = OpenWindow(frame_.bytes);
    ExpectFrame(peer);
  }
  connected_.store(true);
  return OkStatus();
}

Status GlooCommunicator::Exchange(std::span<const int32_t> group, const CollectiveCall& call,
                                  const void* input, std::byte* pieces, Deadline deadline) {
  const std::vector<int32_t> peers = PeersIn(group, rank());
  const size_t own = IndexOf(group, rank());
  const size_t inlined = call.bytes <= kInlineBytes ? call.bytes : 0;
  PIPESERVE_RETURN_IF_ERROR(SwapFrames(peers, call, input, inlined, deadline));
  // No arithmetic on `pieces` when it may be null.
  const auto piece = [&](size_t i) { return call.bytes == 0 ? nullptr : pieces + i * call.bytes; };
  CopyPiece(piece(own), input, call.bytes);
  for (size_t i = 0; i < group.size(); ++i) {
    if (i == own) continue;
    CopyPiece(piece(i), peers_[group[i]].frame.piece(), inlined);
    ExpectFrame(group[i]);
  }
  if (inlined == call.bytes) return OkStatus();
  Transfer transfer{.input = {static_cast<const std::byte*>(input), call.bytes},
                    .sent = std::vector<Part>(group.size(), {.offset = 0, .length = call.bytes}),
                    .output = {pieces, group.size() * call.bytes},
                    .received = {}};
  for (size_t i = 0; i < group.size(); ++i) {
    transfer.received.push_back({.offset = i * call.bytes, .length = call.bytes});
  }
  return Move(group, call, transfer, deadline);
}

Status GlooCommunicator::Reduce(std::span<const int32_t> group, const CollectiveCall& call,
                                const void* input, void* output, Deadline deadline) {
  // Among two members it would take more messages and save no bytes.
  if (call.bytes > kInlineBytes && group.size() > 2) {
    return SumSlices(group, call, input, output, deadline);
  }
  return ExchangeCommunicator::Reduce(group, call, input, output, deadline);
}

Status GlooCommunicator::SumSlices(std::span<const int32_t> group, const CollectiveCall& call,
                                   const void* input, void* output, Deadline deadline) {
  const std::vector<int32_t> peers = PeersIn(group, rank());
  PIPESERVE_RETURN_IF_ERROR(SwapFrames(peers, call, nullptr, 0, deadline));
  for (const int32_t peer : peers) ExpectFrame(peer);
  const size_t own = IndexOf(group, rank());
  const Slice mine(own, group.size(), call.bytes);
  slices_.resize(std::max(slices_.size(), group.size() * mine.length));
  const std::span<const std::byte> source(static_cast<const std::byte*>(input), call.bytes);
  const std::span<std::byte> sums(static_cast<std::byte*>(output), call.bytes);
  Transfer scatter{.input = source, .sent = {}, .output = slices_, .received = {}};
  Transfer gather{.input = sums, .sent = {}, .output = sums, .received = {}};
  std::vector<const std::byte*> addends;
  for (size_t i = 0; i < group.size(); ++i) {
    const Slice slice(i, group.size(), call.bytes);
    scatter.sent.push_back({.offset = slice.begin, .length = slice.length});
    scatter.received.push_back({.offset = i * mine.length, .length = mine.length});
    gather.sent.push_back({.offset = mine.begin, .length = mine.length});
    gather.received.push_back({.offset = slice.begin, .length = slice.length});
    addends.push_back(slices_.data() + i * mine.length);
  }
  CopyPiece(slices_.data() + own * mine.length, source.data() + mine.begin, mine.length);
  PIPESERVE_RETURN_IF_ERROR(Move(group, call, scatter, deadline));
  SumInRankOrder(call.dtype, addends, mine.length / DataTypeSize(call.dtype),
                 sums.data() + mine.begin);
  return Move(group, call, gather, deadline);
}

Status GlooCommunicator::SwapFrames(std::span<const int32_t> peers, const CollectiveCall& call,
                                    const void* input, size_t inlined, Deadline deadline) {
  frame_.Fill(call, input, inlined);
  for (const int32_t peer : peers) {
    PIPESERVE_RETURN_IF_ERROR(Try(peer, [&] {
      peers_[peer].outgoing->send(peer, kFrameSlot, 0, sizeof(CollectiveCall) + inlined);
    }));
  }
  for (const int32_t peer : peers) {
    PIPESERVE_RETURN_IF_ERROR(
        Await(peers_[peer].incoming, Direction::kReceive, peer, call, deadline));
    PIPESERVE_RETURN_IF_ERROR(CheckFrame(peer, peers_[peer].frame, call));
  }
  for (const int32_t peer : peers) {
    PIPESERVE_RETURN_IF_ERROR(Await(peers_[peer].outgoing, Direction::kSend, peer, call, deadline));
  }
  return OkStatus();
}

Status GlooCommunicator::CheckFrame(int32_t peer, const Frame& frame,
                                    const CollectiveCall& call) const {
  CollectiveCall came;
  std::memcpy(&came, frame.bytes.data(), sizeof(came));
  return came == call ? OkStatus() : Disagreement(rank(), call, peer, came);
}

void GlooCommunicator::ExpectFrame(int32_t peer) {
  Peer& from = peers_[peer];
  (void)Try(peer, [&] { from.incoming->recv(peer, kFrameSlot, 0, from.frame.bytes.size()); });
}

Status GlooCommunicator::Move(std::span<const int32_t> group, const CollectiveCall& call,
                              const Transfer& transfer, Deadline deadline) {
  struct Pending {
    int32_t peer;
    Direction direction;
    Window window;
  };
  std::vector<Pending> pending;
  for (size_t i = 0; i < group.size(); ++i) {
    const Part& part = transfer.received[i];
    if (group[i] == rank() || part.length == 0) continue;
    Window window = OpenWindow(transfer.output.subspan(part.offset, part.length));
    PIPESERVE_RETURN_IF_ERROR(
        Try(group[i], [&] { window->recv(group[i], kRestSlot, 0, part.length); }));
    pending.push_back({group[i], Direction::kReceive, std::move(window)});
  }
  for (size_t i = 0; i < group.size(); ++i) {
    const Part& part = transfer.sent[i];
    if (group[i] == rank() || part.length == 0) continue;
    auto* bytes = const_cast<std::byte*>(transfer.input.data() + part.offset);
    Window window = OpenWindow({bytes, part.length});
    PIPESERVE_RETURN_IF_ERROR(
        Try(group[i], [&] { window->send(group[i], kRestSlot, 0, part.length); }));
    pending.push_back({group[i], Direction::kSend, std::move(window)});
  }
  for (const Pending& each : pending) {
    PIPESERVE_RETURN_IF_ERROR(Await(each.window, each.direction, each.peer, call, deadline));
  }
  return OkStatus();
}

Status GlooCommunicator::SendMessage(int32_t to, const CollectiveCall& message, const void* input,
                                     Deadline deadline) {
  Peer& peer = peers_[to];
  Letter& letter = peer.letters[peer.next_letter];
  peer.next_letter = (peer.next_letter + 1) % peer.letters.size();
  if (letter.is_posted) PIPESERVE_RETURN_IF_ERROR(AwaitSent(to, letter, message, deadline));
  const size_t inlined = message.bytes <= kInlineBytes ? message.bytes : 0;
  letter.call = message;
  letter.is_posted = true;
  letter.frame.Fill(message, input, inlined);
  letter.frame_window = OpenWindow(letter.frame.bytes);
  PIPESERVE_RETURN_IF_ERROR(CheckConnected());
  PIPESERVE_RETURN_IF_ERROR(Try(to, [&] {
    letter.frame_window->send(to, kMessageSlot, 0, sizeof(CollectiveCall) + inlined);
  }));
  letter.rest_window = nullptr;
  if (inlined == message.bytes) return OkStatus();
  letter.rest = Buffer::Allocate(message.bytes);
  CopyPiece(letter.rest.mutable_data(), input, message.bytes);
  letter.rest_window = OpenWindow({letter.rest.mutable_data(), message.bytes});
  return Try(to, [&] { letter.rest_window->send(to, kMessageRestSlot, 0, message.bytes); });
}

Status GlooCommunicator::AwaitSent(int32_t to, Letter& letter, const CollectiveCall& message,
                                   Deadline deadline) {
  Status status = Await(letter.frame_window, Direction::kSend, to, letter.call, deadline);
  if (status.ok() && letter.rest_window != nullptr) {
    status = Await(letter.rest_window, Direction::kSend, to, letter.call, deadline);
  }
  if (status.code() == StatusCode::kDeadlineExceeded) return DidNotTake(rank(), message, to);
  return status;
}

Status GlooCommunicator::ReceiveMessage(int32_t from, const CollectiveCall& message, void* output,
                                        Deadline deadline) {
  Frame frame;
  const Window incoming = OpenWindow(frame.bytes);
  PIPESERVE_RETURN_IF_ERROR(
      Try(from, [&] { incoming->recv(from, kMessageSlot, 0, frame.bytes.size()); }));
  PIPESERVE_RETURN_IF_ERROR(Await(incoming, Direction::kReceive, from, message, deadline));
  PIPESERVE_RETURN_IF_ERROR(CheckFrame(from, frame, message));
  if (message.bytes <= kInlineBytes) {
    CopyPiece(output, frame.piece(), message.bytes);
    return OkStatus();
  }
  const Window rest = OpenWindow({static_cast<std::byte*>(output), message.bytes});
  PIPESERVE_RETURN_IF_ERROR(
      Try(from, [&] { rest->recv(from, kMessageRestSlot, 0, message.bytes); }));
  return Await(rest, Direction::kReceive, from, message, deadline);
}

GlooCommunicator::Window GlooCommunicator::OpenWindow(std::span<std::byte> bytes) const {
  return context_->createUnboundBuffer(bytes.data(), bytes.size());
}

Status GlooCommunicator::Await(const Window& window, Direction direction, int32_t peer,
                               const CollectiveCall& call, Deadline deadline) {
  for (bool done = false; !done;) {
    PIPESERVE_RETURN_IF_ERROR(CheckConnected());
    const Status status = Try(peer, [&] { done = AwaitOrWake(window, direction, deadline); });
    if (status.ok()) continue;
    PIPESERVE_RETURN_IF_ERROR(CheckConnected());  // Knows better who is to blame.
    if (!deadline.HasPassed()) return status;
    return DidNotCome(rank(), call, peer);
  }
  return OkStatus();
}

bool GlooCommunicator::AwaitOrWake(const Window& window, Direction direction, Deadline deadline) {
  struct Awaited {
    explicit Awaited(GlooCommunicator& self, gloo::transport::UnboundBuffer* buffer) : self(self) {
      Set(buffer);
    }
    ~Awaited() { Set(nullptr); }
    void Set(gloo::transport::UnboundBuffer* buffer) const {
      MutexLock lock(self.wake_mutex_);
      self.awaited_ = buffer;
    }
    GlooCommunicator& self;
  } const awaited(*this, window.get());
  if (!CheckConnected().ok()) return false;  // Wake() came before it had something to wake.
  const Milliseconds timeout = TimeoutOf(deadline);
  return direction == Direction::kSend ? window->waitSend(timeout) : window->waitRecv(timeout);
}

Status GlooCommunicator::CheckConnected() const {
  if (disconnected_.load()) return Aborted("this rank left its group");
  for (int peer = 0; peer < size(); ++peer) {
    if (watch_.IsReset(peer)) {
      return Unavailable(StrCat("rank ", peer, " is gone: it reset its connection"));
    }
  }
  return OkStatus();
}

void GlooCommunicator::Wake() {
  MutexLock lock(wake_mutex_);
  if (awaited_ == nullptr) return;
  awaited_->abortWaitRecv();
  awaited_->abortWaitSend();
}

// While the pairs connect, nothing but their end ends the wait for one.
void GlooCommunicator::OnPeerGone() {
  if (!connected_.load()) ClosePairs();
  Wake();
}

void GlooCommunicator::ClosePairs() const {
  for (int peer = 0; peer < size(); ++peer) {
    if (peer != rank()) context_->getPair(peer)->close();
  }
}

// The peers' watches see the reset.
void GlooCommunicator::Disconnect(const Status&) {
  disconnected_.store(true);
  for (const Socket& socket : mesh_) ResetConnection(socket);
  ClosePairs();
  Wake();
}

}  // namespace pipeserve
