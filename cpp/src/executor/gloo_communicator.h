// Collectives and messages over the transport of Gloo.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "base/mutex.h"
#include "base/socket.h"
#include "executor/exchange_communicator.h"
#include "executor/peer_watch.h"

namespace gloo::transport {
class Context;
class UnboundBuffer;
}  // namespace gloo::transport

namespace pipeserve {

// Members send their pieces directly to each other. An operation begins with a frame from each to
// each: what the sender asks for and, when it is small, its piece. Gloo ends the process when a
// message is longer than its receiver expects, therefore frames have one size, and what does not
// fit into one is sent only when all agree. A large sum is made slice by slice, each by one member,
// in rank order like all sums. A message is a frame, and what does not fit into it; Gloo keeps both
// until the receiver asks for them.
//
// Gloo cannot tell one that broke from one that left after its part was done. The mesh, which
// carries no bytes, does: a peer that breaks or aborts resets its connections, which wakes the
// others with kUnavailable.
//
// Whoever connects to Gloo's port first is taken for the peer, and can end the process by what it
// sends: for networks whose hosts are trusted. Gloo writes to connections that may be closed, so
// that the process has to ignore SIGPIPE.
class GlooCommunicator final : public ExchangeCommunicator {
 public:
  // Connects with the peers that `mesh`, which comes from ConnectMesh(), leads to. `host` is the
  // numeric address of this host that they reach. An interrupt is seen until the peers have told
  // their addresses; connecting to those takes ten seconds at most.
  //
  // Errors: kUnavailable, kDeadlineExceeded, kAborted (interrupted), kFailedPrecondition (garbage).
  static Result<std::shared_ptr<Communicator>> Connect(int rank, const std::string& host,
                                                       std::vector<Socket> mesh,
                                                       const WaitLimit& limit);
  ~GlooCommunicator() override;

 private:
  using Context = gloo::transport::Context;

  enum class Direction { kSend, kReceive };

  // Memory that Gloo reads or writes. Has at most one operation at a time, because Gloo does not
  // tell which of several has ended.
  using Window = std::unique_ptr<gloo::transport::UnboundBuffer>;

  // A CollectiveCall, in the byte order of the machine (see Hello of the mesh), and a piece.
  struct Frame {
    Frame();
    void Fill(const CollectiveCall& call, const void* input, size_t inlined);
    std::byte* piece() { return bytes.data() + sizeof(CollectiveCall); }

    std::vector<std::byte> bytes;
  };

  // A message to a peer, which Gloo may not have sent yet.
  struct Letter {
    Frame frame;
    Window frame_window;
    Buffer rest;
    Window rest_window;  // Null when all is in the frame.
    CollectiveCall call;
    bool is_posted = false;
  };

  struct Peer {
    std::array<Letter, kMostUntaken> letters;
    size_t next_letter = 0;
    Frame frame;
    Window incoming;  // The frame.
    Window outgoing;  // This rank's frame.
  };

  // Bytes of one member's share of a Transfer.
  struct Part {
    size_t offset = 0, length = 0;
  };

  // The i-th part of `input` goes to the i-th member; from it comes the i-th part of `output`.
  struct Transfer {
    std::span<const std::byte> input;
    std::vector<Part> sent;
    std::span<std::byte> output;
    std::vector<Part> received;
  };

  GlooCommunicator(int rank, std::vector<Socket> mesh, std::shared_ptr<Context> context);

  // `addresses` are those at which the peers wait for this rank.
  Status ConnectPairs(std::span<const std::vector<char>> addresses, const WaitLimit& limit);

  Status Exchange(std::span<const int32_t> group, const CollectiveCall& call, const void* input,
                  std::byte* pieces, Deadline deadline) override;
  Status Reduce(std::span<const int32_t> group, const CollectiveCall& call, const void* input,
                void* output, Deadline deadline) override;
  Status SendMessage(int32_t to, const CollectiveCall& message, const void* input,
                     Deadline deadline) override;
  Status ReceiveMessage(int32_t from, const CollectiveCall& message, void* output,
                        Deadline deadline) override;
  void Disconnect(const Status& reason) override;

  // Waits until Gloo has sent it. The deadline's error says that `message` cannot follow.
  Status AwaitSent(int32_t to, Letter& letter, const CollectiveCall& message, Deadline deadline);

  // Sends each of `peers` a frame with the first `inlined` bytes of `input`, and receives theirs
  // into theirs. All ask for `call`. To be read before the next ExpectFrame().
  Status SwapFrames(std::span<const int32_t> peers, const CollectiveCall& call, const void* input,
                    size_t inlined, Deadline deadline);
  Status CheckFrame(int32_t peer, const Frame& frame, const CollectiveCall& call) const;
  // Gives Gloo leave to receive the peer's next frame, so that it is sent without a question. A
  // peer that is gone has done its part so far; what needs it next finds out.
  void ExpectFrame(int32_t peer);

  // All have swapped frames and agree about the lengths.
  Status Move(std::span<const int32_t> group, const CollectiveCall& call, const Transfer& transfer,
              Deadline deadline);
  // In two rounds: each member adds its slice of all pieces, then each gets the sums of the others.
  Status SumSlices(std::span<const int32_t> group, const CollectiveCall& call, const void* input,
                   void* output, Deadline deadline);

  // Waits until `window` has sent to, or received from, `peer`.
  Status Await(const Window& window, Direction direction, int32_t peer, const CollectiveCall& call,
               Deadline deadline);
  // The same; false when Wake() ends it. Gloo throws.
  bool AwaitOrWake(const Window& window, Direction direction, Deadline deadline)
      EXCLUDES(wake_mutex_);
  Window OpenWindow(std::span<std::byte> bytes) const;
  Status CheckConnected() const;

  // Makes AwaitOrWake() of another thread return.
  void Wake() EXCLUDES(wake_mutex_);
  void OnPeerGone();
  void ClosePairs() const;

  const std::vector<Socket> mesh_;
  const std::shared_ptr<Context> context_;
  Frame frame_;
  std::vector<Peer> peers_;        // By rank.
  std::vector<std::byte> slices_;  // The addends of this rank's slice; grows.
  std::atomic<bool> connected_{false}, disconnected_{false};
  Mutex wake_mutex_;
  gloo::transport::UnboundBuffer* awaited_ GUARDED_BY(wake_mutex_) = nullptr;
  PeerWatch watch_;  // Last: its thread wakes the operation.
};

}  // namespace pipeserve
