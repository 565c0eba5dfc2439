// Collectives and messages among ranks of several processes or hosts.
#pragma once

#include <vector>

#include "base/socket.h"
#include "executor/exchange_communicator.h"
#include "executor/outbox.h"

namespace pipeserve {

// Members send their pieces directly to each other, all at once. A large sum is made slice by
// slice, each by one member, so that a piece is sent twice and not to every peer. A peer that
// breaks, aborts or dies closes its connections: the others get kUnavailable, which names it.
//
// A message goes over the same connection. What the connection does not take while the peer reads
// nothing is kept in the outbox, and a collective with that peer waits until it is gone.
class SocketCommunicator final : public ExchangeCommunicator, private Carrier {
 public:
  // `sockets` come from ConnectMesh().
  SocketCommunicator(int rank, std::vector<Socket> sockets);

 private:
  // In front of every message. In the byte order of the machine, see Hello.
  struct Header {
    uint64_t sequence = 0;  // Of the messages of this connection and direction.
    uint64_t bytes = 0;
    uint32_t members = 0;
    uint8_t kind = 0;
    uint8_t dtype = 0;
    uint16_t reserved = 0;
    int64_t tag = 0;
    friend bool operator==(const Header&, const Header&) = default;
  };
  static_assert(sizeof(Header) == 32);

  // The connection with one peer, and how far the running operation is on it.
  struct Peer {
    Socket socket;
    uint64_t sent_count = 0, received_count = 0;  // Of headers.
    Header outgoing, incoming, wanted;
    std::span<const std::byte> source;  // What the peer gets.
    std::span<std::byte> piece;         // Where the peer's bytes go.
    size_t sent = 0, received = 0;
  };

  Status Exchange(std::span<const int32_t> group, const CollectiveCall& call, const void* input,
                  std::byte* pieces, Deadline deadline) override;
  Status Reduce(std::span<const int32_t> group, const CollectiveCall& call, const void* input,
                void* output, Deadline deadline) override;
  Status SendMessage(int32_t to, const CollectiveCall& message, const void* input,
                     Deadline deadline) override;
  Status ReceiveMessage(int32_t from, const CollectiveCall& message, void* output,
                        Deadline deadline) override;
  void Disconnect(const Status& reason) override;

  // Of the outbox.
  uint32_t Signal() override { return 0; }  // AwaitRoom() forgets no Wake().
  Result<bool> Carry(int32_t peer, Outgoing* message) override;
  Status AwaitRoom(uint32_t seen, std::span<const int32_t> peers) override;
  void Wake() override;

  // In two rounds: each member adds its slice of all pieces, then each gets the sums of the others.
  Status SumSlices(std::span<const int32_t> group, const CollectiveCall& call, const void* input,
                   void* output, Deadline deadline);
  // Sends each member its `source`, and receives its `piece`.
  Status Move(std::span<const int32_t> group, const CollectiveCall& call, Deadline deadline);
  // Waits until no message is on its way, whose sending has the fields of the peers.
  Status TakeSending(std::span<const int32_t> group, const CollectiveCall& call, Deadline deadline);
  void Start(std::span<const int32_t> group, const CollectiveCall& call);
  static Header HeaderOf(const CollectiveCall& call, uint64_t sequence);
  // Fills `polled_`; false when every message is sent and received.
  bool SelectPending(std::span<const int32_t> group);
  Status WaitReady(std::span<const int32_t> group, const CollectiveCall& call, Deadline deadline);
  Status SendSome(int32_t rank);
  Status ReceiveSome(int32_t rank, const CollectiveCall& call);
  Status CheckHeader(int32_t rank, const CollectiveCall& call) const;

  std::vector<Peer> peers_;        // By rank; the sockets stay as they are until the end.
  std::vector<pollfd> polled_;     // Of the running operation, in the order of its group.
  std::vector<std::byte> slices_;  // The addends of this rank's slice; grows.
  const FileDescriptor wake_;      // An eventfd.
  Outbox outbox_;                  // Last: its thread uses the others.
};

}  // namespace pipeserve
