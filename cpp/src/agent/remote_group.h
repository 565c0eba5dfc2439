// A group of agents as one Executor: every call runs on every rank.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "agent/group_check.h"
#include "agent/lane.h"
#include "base/mutex.h"
#include "executor/executor.h"

namespace pipeserve {

struct RemoteGroupOptions {
  std::string servable_name;  // For messages.
  GroupShape shape;
  bool all_stages_take_inputs = false;
  std::vector<GraphSignature> signatures;  // Inputs of rank 0, outputs of the last rank.
  Duration call_timeout = std::chrono::seconds(10);
  // A call is done when the last rank, whose outputs are wanted, has answered; with wait_for_all,
  // when every rank has.
  bool wait_for_all = false;
};

// Lives through epochs: between two of them calls fail with kUnavailable. Several calls may be in
// flight; all ranks get them in one order. A call whose request is given up, or runs out of time,
// is answered at once; it goes on on all ranks, and what it gives is dropped.
//
// Ranks whose outputs nobody waits for may lag behind by at most kMaxLag calls. What fails on one
// of them ends the epoch, or fails the next call.
class RemoteGroup final : public Executor {
 public:
  static constexpr uint64_t kMaxLag = 8;
  static_assert(kMaxLag < kCallWindow);

  explicit RemoteGroup(RemoteGroupOptions options);
  ~RemoteGroup() override;  // EndEpoch(); no call may be running.

  int graph_count() const override { return static_cast<int>(options_.signatures.size()); }
  const GraphSignature& signature(GraphId graph) const override {
    return options_.signatures[static_cast<size_t>(graph)];
  }
  const std::vector<GraphSignature>& signatures() const { return options_.signatures; }
  // In memory that the ranks of this host read, as far as there is some.
  Buffer MakeRoom(size_t bytes) override;
  // The calling thread itself sends to the ranks and waits for their answers.
  Status Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
             std::vector<Tensor>* outputs) override;

  // Run(), and says in which epoch; 0: in none, because there was none or it was refused before.
  Status Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
             std::vector<Tensor>* outputs, uint64_t* epoch);

  // Waits until calls can be sent in an epoch after `epoch`, at most `patience` from the end of
  // the last one. Errors: kUnavailable (why the last one ended, or the group stops), kCancelled,
  // kDeadlineExceeded.
  Status AwaitEpochAfter(uint64_t epoch, Duration patience, const CallContext& context);

  // All ranks are there: one lane for each. Epochs grow; one that has already ended is refused,
  // its lanes are closed.
  void BeginEpoch(uint64_t epoch, std::vector<std::shared_ptr<Lane>> lanes);
  // Fails every call in flight with `reason`, and closes the lanes with it. Idempotent.
  void EndEpoch(uint64_t epoch, const Status& reason);
  // EndEpoch(), and no other one will begin.
  void Stop(const Status& reason);
  bool ready() const;
  // Whether calls are sent, or the last epoch ended so recently that waiting for the next is worth
  // it.
  bool MayBeBack(Duration patience) const;

  // What whoever reads a lane's answers tells as soon as one comes: the rank could not run the
  // call, or is gone.
  void OnFailure(int rank, uint64_t epoch, uint64_t sequence, const Status& status);
  void OnClosed(int rank, uint64_t epoch, const Status& reason);

 private:
  struct Call;
  class Turn;
  using Lanes = std::vector<std::shared_ptr<Lane>>;
  using LanesPtr = std::shared_ptr<const Lanes>;

  Result<std::shared_ptr<Call>> Submit(GraphId graph, std::span<const Tensor> inputs,
                                       const CallContext& context);
  Status TakeTurn(GraphId graph, const CallContext& context);
  Status AwaitRoom(Call* call, const CallContext& context);
  void Send(Call* call);
  Status Await(const Call& call, const CallContext& context, std::vector<Tensor>* outputs);
  void GiveUp(const Call& call);
  void WakeAll();
  Status CheckOutputs(GraphId graph, const std::vector<Tensor>& outputs) const;
  Status EndOutOfStep(const Call& call, const Status& error);
  Status Explain(const Call& call, int rank, const Status& wait_error, const CallContext& context);
  bool EpochHasEnded(const Call& call) const;

  LanesPtr FailCalls(uint64_t epoch, const Status& reason) REQUIRES(mutex_);
  void DropAnswered() REQUIRES(mutex_);
  static void CloseAll(const LanesPtr& lanes, const Status& reason);

  void Watch();
  Status AwaitTrouble() REQUIRES(mutex_);
  Status LateRank(const Call& call) const;
  Status RankError(int rank, GraphId graph, const Status& status) const;
  Status NobodyWaits(GraphId graph, const CallContext& context) const;

  const RemoteGroupOptions options_;
  mutable Mutex mutex_;
  CondVar turn_;  // The turn is free; wakes one, who hands on what it does not take.
  CondVar room_;  // Somebody has stopped waiting for a call.
  // A flag and not a held lock, so that who waits for it can be called away. It lasts from
  // numbering a call until all lanes have it.
  bool turn_taken_ GUARDED_BY(mutex_) = false;
  uint64_t last_sequence_ GUARDED_BY(mutex_) = 0;
  uint64_t epoch_ GUARDED_BY(mutex_) = 0;           // The newest that began or ended.
  uint64_t first_sequence_ GUARDED_BY(mutex_) = 0;  // Of that epoch.
  LanesPtr lanes_ GUARDED_BY(mutex_);               // Null between epochs.
  Status not_ready_ GUARDED_BY(mutex_);             // Why, while lanes_ is null.
  TimePoint ended_at_ GUARDED_BY(mutex_);           // Since when, then.
  bool stopped_ GUARDED_BY(mutex_) = false;
  CondVar epoch_begins_;  // Or none will.
  // By sequence: what somebody waits for, and what some rank may not have answered.
  std::map<uint64_t, std::shared_ptr<Call>> waited_for_ GUARDED_BY(mutex_);
  std::deque<std::shared_ptr<Call>> unanswered_ GUARDED_BY(mutex_);
  // A rank failed because of another one, which has some time to tell why.
  Status drawn_in_ GUARDED_BY(mutex_);
  Deadline explanation_until_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool watcher_sleeps_ GUARDED_BY(mutex_) = true;
  // When the watcher looks next whether a call that was given up has been answered, so that its
  // memory goes though no other call comes. Twice as long each time; zero: there is none.
  Duration next_look_ GUARDED_BY(mutex_) = Duration::zero();
  CondVar watcher_wakes_;
  std::jthread watcher_;  // Ends the epoch when a rank takes too long.
};

}  // namespace pipeserve
