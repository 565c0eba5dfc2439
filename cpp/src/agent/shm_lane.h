// The lane to a rank on this host: calls and tensors lie in memory that both map.
#pragma once

#include <array>
#include <memory>
#include <vector>

#include "agent/shm_space.h"
#include "base/mutex.h"

namespace pipeserve {

// A call that does not fit goes over the stream, in its turn; so does everything that is not a
// call.
class ShmLane final : public Lane {
 public:
  // `signatures` say how large the outputs of each graph are.
  ShmLane(ShmRingMemory ring, std::shared_ptr<ShmSpace> space, std::shared_ptr<Lane> stream,
          std::vector<GraphSignature> signatures);

  std::optional<Buffer> MakeRoom(size_t bytes) override { return space_->MakeRoom(bytes); }
  void Send(const RankCall& call) override;
  uint64_t answered() const override;
  Status Await(uint64_t sequence, const CallContext& context) override;
  void Wake() override;
  RankReply Take(uint64_t sequence) override;
  void Drop(uint64_t sequence) override;
  void Close(const Status& reason) override;

 private:
  struct Slot {
    uint64_t sequence = 0;
    bool over_stream = false;
    GraphId graph = 0;
    bool dropped = false;
    std::vector<Buffer> outputs;  // The rank writes here until it has answered.
  };

  bool Post(const RankCall& call, Slot* slot);
  bool HasAnswered(uint64_t sequence, bool over_stream) const;
  Status AwaitReply(uint64_t sequence, const CallContext& context);
  Status ReadReply(const ShmReply& posted, GraphId graph, std::vector<Buffer> buffers,
                   std::vector<Tensor>* outputs) const;
  Status closed() const;

  const ShmRingMemory ring_;
  const std::shared_ptr<ShmSpace> space_;
  const std::shared_ptr<Lane> stream_;
  const std::vector<GraphSignature> signatures_;

  mutable Mutex mutex_;
  uint64_t sent_ GUARDED_BY(mutex_) = 0;
  mutable uint64_t answered_ GUARDED_BY(mutex_) = 0;
  mutable std::array<Slot, kCallWindow> slots_ GUARDED_BY(mutex_);
  Status closed_ GUARDED_BY(mutex_);
};

}  // namespace pipeserve
