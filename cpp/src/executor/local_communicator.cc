#include "executor/local_communicator.h"

#include <algorithm>
#include <array>
#include <deque>
#include <map>

#include "base/str_cat.h"
#include "executor/exchange_communicator.h"

namespace pipeserve {
namespace {

// Orders groups by their ranks, and finds one without making a vector of them.
struct RanksLess {
  using is_transparent = void;
  bool operator()(std::span<const int32_t> a, std::span<const int32_t> b) const {
    return std::lexicographical_compare(a.begin(), a.end(), b.begin(), b.end());
  }
};

// Where the ranks meet. Thread-safe; one thread at a time per rank, except Leave().
class Hub {
 public:
  explicit Hub(int size) : left_(size) {}

  Status Exchange(int rank, std::span<const int32_t> ranks, const CollectiveCall& call,
                  const void* input, std::byte* pieces, Deadline deadline) EXCLUDES(mutex_);

  Status Send(int from, int to, const CollectiveCall& message, const void* input, Deadline deadline)
      EXCLUDES(mutex_);
  Status Receive(int from, int to, const CollectiveCall& message, void* output, Deadline deadline)
      EXCLUDES(mutex_);

  // `rank` takes part in nothing any more. The first reason stays.
  void Leave(int rank, const Status& reason) EXCLUDES(mutex_);

 private:
  // A member's piece is copied here before the member announces it, so that nobody reads memory
  // of a caller who may have given up.
  struct Slot {
    CollectiveCall call;
    Buffer bytes;
  };

  // Operation n uses slot n % 2. Whoever announces n + 1 has read all pieces of n, so slot n % 2
  // is free again once n + 1 is complete, and no second meeting is needed.
  struct Member {
    uint64_t announced = 0;  // Operations so far.
    std::array<Slot, 2> slots;
  };

  struct Group {
    std::vector<Member> members;  // Slots belong to the member's thread until announced.
    uint64_t complete = 0;        // Operations that every member has announced.
    CondVar changed;
  };

  // The messages from one rank to another.
  struct Channel {
    std::deque<Slot> untaken;
    CondVar changed;
  };

  Group& FindGroup(std::span<const int32_t> ranks) EXCLUDES(mutex_);
  Status Announce(int rank, std::span<const int32_t> ranks, Group& group, Member& member,
                  Deadline deadline) EXCLUDES(mutex_);
  // The error of the first member that left, if any.
  Status CheckPresent(int rank, std::span<const int32_t> ranks) const REQUIRES(mutex_);

  Mutex mutex_;
  std::map<std::vector<int32_t>, Group, RanksLess> groups_ GUARDED_BY(mutex_);
  std::map<std::pair<int, int>, Channel> channels_ GUARDED_BY(mutex_);  // By sender and receiver.
  std::vector<Status> left_ GUARDED_BY(mutex_);  // By rank; OK while it takes part.
};

Status Hub::Exchange(int rank, std::span<const int32_t> ranks, const CollectiveCall& call,
                     const void* input, std::byte* pieces, Deadline deadline) {
  Group& group = FindGroup(ranks);
  Member& mine = group.members[std::ranges::lower_bound(ranks, rank) - ranks.begin()];
  const size_t turn = (mine.announced + 1) % 2;  // Only this thread writes `announced`.
  Slot& slot = mine.slots[turn];
  slot.call = call;
  if (slot.bytes.size() < call.bytes) slot.bytes = Buffer::Allocate(call.bytes);
  CopyPiece(slot.bytes.mutable_data(), input, call.bytes);
  PIPESERVE_RETURN_IF_ERROR(Announce(rank, ranks, group, mine, deadline));
  for (size_t i = 0; i < ranks.size(); ++i) {
    const Slot& piece = group.members[i].slots[turn];
    if (piece.call != call) return Disagreement(rank, call, ranks[i], piece.call);
    CopyPiece(pieces + i * call.bytes, piece.bytes.data(), call.bytes);
  }
  return OkStatus();
}

Hub::Group& Hub::FindGroup(std::span<const int32_t> ranks) {
  MutexLock lock(mutex_);
  auto found = groups_.find(ranks);
  if (found == groups_.end()) {
    found = groups_.try_emplace(std::vector<int32_t>(ranks.begin(), ranks.end())).first;
    found->second.members.resize(ranks.size());
  }
  return found->second;
}

Status Hub::Announce(int rank, std::span<const int32_t> ranks, Group& group, Member& member,
                     Deadline deadline) {
  MutexLock lock(mutex_);
  const uint64_t turn = ++member.announced;
  const auto came = [turn](const Member& each) { return each.announced >= turn; };
  PIPESERVE_RETURN_IF_ERROR(CheckPresent(rank, ranks));
  if (std::ranges::all_of(group.members, came)) {
    group.complete = turn;
    group.changed.NotifyAll();
  }
  while (group.complete < turn) {
    PIPESERVE_RETURN_IF_ERROR(CheckPresent(rank, ranks));
    if (!group.changed.WaitUntil(mutex_, deadline) && group.complete < turn) {
      const auto missing = std::ranges::find_if_not(group.members, came);
      return DeadlineExceeded(StrCat("rank ", ranks[missing - group.members.begin()],
                                     " did not come to a collective of rank ", rank,
                                     " before the deadline"));
    }
  }
  return OkStatus();
}

Status Hub::CheckPresent(int rank, std::span<const int32_t> ranks) const {
  for (const int32_t each : ranks) {
    const Status& reason = left_[each];
    if (reason.ok()) continue;
    if (each == rank) return reason;
    const std::string message = StrCat("rank ", each, " is gone: ", reason.message());
    return reason.code() == StatusCode::kAborted ? Aborted(message) : Unavailable(message);
  }
  return OkStatus();
}

Status Hub::Send(int from, int to, const CollectiveCall& message, const void* input,
                 Deadline deadline) {
  Slot slot{message, Buffer::Allocate(message.bytes)};
  CopyPiece(slot.bytes.mutable_data(), input, message.bytes);
  MutexLock lock(mutex_);
  Channel& channel = channels_[{from, to}];
  const std::array<int32_t, 2> pair{from, to};
  while (true) {
    PIPESERVE_RETURN_IF_ERROR(CheckPresent(from, pair));
    if (channel.untaken.size() < Communicator::kMostUntaken) break;
    if (!channel.changed.WaitUntil(mutex_, deadline) && deadline.HasPassed()) {
      return DidNotTake(from, message, to);
    }
  }
  channel.untaken.push_back(std::move(slot));
  channel.changed.NotifyAll();
  return OkStatus();
}

Status Hub::Receive(int from, int to, const CollectiveCall& message, void* output,
                    Deadline deadline) {
  Slot slot;
  {
    MutexLock lock(mutex_);
    Channel& channel = channels_[{from, to}];
    const std::array<int32_t, 2> pair{from, to};
    while (channel.untaken.empty()) {
      PIPESERVE_RETURN_IF_ERROR(CheckPresent(to, pair));
      if (!channel.changed.WaitUntil(mutex_, deadline) && channel.untaken.empty()) {
        return DidNotCome(to, message, from);
      }
    }
    slot = std::move(channel.untaken.front());
    channel.untaken.pop_front();
    channel.changed.NotifyAll();
  }
  if (slot.call != message) return Disagreement(to, message, from, slot.call);
  CopyPiece(output, slot.bytes.data(), message.bytes);
  return OkStatus();
}

void Hub::Leave(int rank, const Status& reason) {
  MutexLock lock(mutex_);
  if (left_[rank].ok()) left_[rank] = reason;
  for (auto& [ranks, group] : groups_) group.changed.NotifyAll();
  for (auto& [ends, channel] : channels_) channel.changed.NotifyAll();
}

class LocalCommunicator final : public ExchangeCommunicator {
 public:
  LocalCommunicator(int rank, int size, std::shared_ptr<Hub> hub)
      : ExchangeCommunicator(rank, size), hub_(std::move(hub)) {}
  ~LocalCommunicator() override { hub_->Leave(rank(), Unavailable("it was destroyed")); }

 private:
  Status Exchange(std::span<const int32_t> group, const CollectiveCall& call, const void* input,
                  std::byte* pieces, Deadline deadline) override {
    return hub_->Exchange(rank(), group, call, input, pieces, deadline);
  }
  Status SendMessage(int32_t to, const CollectiveCall& message, const void* input,
                     Deadline deadline) override {
    return hub_->Send(rank(), to, message, input, deadline);
  }
  Status ReceiveMessage(int32_t from, const CollectiveCall& message, void* output,
                        Deadline deadline) override {
    return hub_->Receive(from, rank(), message, output, deadline);
  }
  void Disconnect(const Status& reason) override { hub_->Leave(rank(), reason); }

  const std::shared_ptr<Hub> hub_;
};

}  // namespace

std::vector<std::shared_ptr<Communicator>> MakeLocalCommunicators(int size) {
  auto hub = std::make_shared<Hub>(size);
  std::vector<std::shared_ptr<Communicator>> communicators;
  for (int rank = 0; rank < size; ++rank) {
    communicators.push_back(std::make_shared<LocalCommunicator>(rank, size, hub));
  }
  return communicators;
}

}  // namespace pipeserve
