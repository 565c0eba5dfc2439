// Collectives and messages among ranks of one host.
#pragma once

#include <array>
#include <atomic>
#include <vector>

#include "base/socket.h"
#include "executor/exchange_communicator.h"
#include "executor/outbox.h"
#include "executor/peer_watch.h"
#include "executor/shm_segment.h"

namespace pipeserve {

// Members put their pieces into shared memory and read each other's from there. An operation is
// made of rounds; in a round every member publishes at most kSlotBytes and then waits until all
// have. The one that comes last wakes the others, so that a round costs a rank one sleep at most.
//
// A slot is written again in the round after the next. Whoever entered the next round with this
// rank has read it by then, so that no second wait is needed; only ranks that were in the one and
// not in the other are waited for.
//
// Who needs no result leaves a round as soon as its piece lies there, and so is ahead of the others
// by as much as the two slots allow: the next round, too, until a reader has finished this one.
//
// A message goes through the two slots that every rank has for every peer, which take as many
// pieces as it needs; what does not fit while the peer takes nothing is kept in the outbox.
//
// The connections carry no bytes: a peer that breaks, aborts or dies ends its own, which wakes the
// others from their waits with kUnavailable. Marks and headers are checked before they are used;
// impossible ones are kFailedPrecondition.
class ShmCommunicator final : public ExchangeCommunicator, private Carrier {
 public:
  // `sockets` come from ConnectMesh(); all ranks have mapped the same segment.
  ShmCommunicator(int rank, std::vector<Socket> sockets, ShmSegment segment);

 private:
  // A peer that reads what this rank has put into a slot.
  struct Reader {
    int32_t rank;
    uint64_t sequence;
  };

  Status Exchange(std::span<const int32_t> group, const CollectiveCall& call, const void* input,
                  std::byte* pieces, Deadline deadline) override;
  Status Reduce(std::span<const int32_t> group, const CollectiveCall& call, const void* input,
                void* output, Deadline deadline) override;
  Status Contribute(std::span<const int32_t> group, const CollectiveCall& call, const void* input,
                    Deadline deadline) override;
  Status SendMessage(int32_t to, const CollectiveCall& message, const void* input,
                     Deadline deadline) override;
  Status ReceiveMessage(int32_t from, const CollectiveCall& message, void* output,
                        Deadline deadline) override;
  void Disconnect(const Status& reason) override;

  // Of the outbox.
  uint32_t Signal() override { return segment_.mail(rank()).value(); }
  Result<bool> Carry(int32_t peer, Outgoing* message) override;
  Status AwaitRoom(uint32_t seen, std::span<const int32_t> peers) override;
  void Wake() override { segment_.mail(rank()).Ring(); }
  // Waits until a slot of `from` holds something. False when the deadline passed before.
  Result<bool> AwaitMail(int32_t from, Deadline deadline);
  // How far the peer says that it is, which is between two bounds. Errors: kFailedPrecondition.
  static Status CheckCount(int32_t peer, uint64_t count, uint64_t least, uint64_t most);

  // One round of AllReduceSum in which every member adds one slice for all, after the one in which
  // the pieces were published.
  Status SumTogether(std::span<const int32_t> group, PieceHeader header, size_t bytes,
                     std::byte* output, Deadline deadline);

  // Waits until `check`, which returns Result<bool>, is true. Whoever makes it true rings `bell`
  // afterwards. False when the deadline passed before.
  template <typename Check>
  Result<bool> Await(Doorbell& bell, Deadline deadline, const Check& check) const;
  // Waits until nobody reads what `slot` holds.
  Status AwaitFree(uint32_t slot, Deadline deadline);
  // Begins a round with what lies in the slot.
  void Begin(std::span<const int32_t> group, const PieceHeader& header);
  // Begins a round and waits until all members have. Then `pieces_` tells where theirs are, until
  // Leave().
  Status Meet(std::span<const int32_t> group, const PieceHeader& header, Deadline deadline);
  Status AwaitMembers(std::span<const int32_t> group, const CollectiveCall& call,
                      Deadline deadline);
  // Ends the round: this rank has read the pieces.
  Status Leave(std::span<const int32_t> group);

  void Tell(int32_t peer, bool finished) const;
  // The first member that has not begun the round, -1 when all have.
  Result<int> FindMissing(std::span<const int32_t> group);
  // What `peer` has told last, which is round `furthest` at most and never one before what it told
  // earlier. Errors: kFailedPrecondition.
  Result<RoundMark> LatestMark(int32_t peer, uint64_t furthest);
  Result<bool> HasFinished(const Reader& reader);
  Status CheckHeaders(std::span<const int32_t> group, const PieceHeader& header) const;
  Status CheckHeader(int32_t peer, const PieceHeader& came, const PieceHeader& wanted) const;
  int FirstGone(std::span<const int32_t> group) const;
  void AlarmAll() const;

  const std::vector<Socket> sockets_;
  const ShmSegment segment_;
  std::vector<uint64_t> sequences_;        // By rank: rounds begun with it.
  std::vector<uint64_t> latest_;           // By rank: the round that it told last.
  std::vector<uint64_t> sent_, received_;  // By rank: slots with messages to it, and from it.
  std::array<std::vector<Reader>, kSlots> readers_;
  std::vector<const std::byte*> pieces_;  // In the order of the group.
  uint32_t slot_ = 0;                     // Of the running round, or else of the next one.
  std::atomic<bool> disconnected_{false};
  // Last: their threads use the others.
  PeerWatch watch_;
  Outbox outbox_;
};

}  // namespace pipeserve
