// A group of agents as one Executor: every call runs on every rank.
#pragma once

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
};

// Lives through epochs: between two of them calls fail with kUnavailable. Several calls may be in
// flight; all ranks get them in one order. A call is done when every rank has answered. A call
// whose request runs out of time is answered early, and its late result is dropped.
class RemoteGroup final : public Executor, public LaneListener {
 public:
  explicit RemoteGroup(RemoteGroupOptions options);
  ~RemoteGroup() override;  // EndEpoch(); no call may be running.

  int graph_count() const override { return static_cast<int>(options_.signatures.size()); }
  const GraphSignature& signature(GraphId graph) const override {
    return options_.signatures[static_cast<size_t>(graph)];
  }
  Status Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
             std::vector<Tensor>* outputs) override;

  // All ranks are there: one lane for each. Epochs grow; one that has already ended is refused,
  // its lanes are closed.
  void BeginEpoch(uint64_t epoch, std::vector<std::shared_ptr<Lane>> lanes);
  // Fails every call in flight with `reason`, and closes the lanes with it. Idempotent.
  void EndEpoch(uint64_t epoch, const Status& reason);
  bool ready() const;

  void OnReply(int rank, RankReply reply) override;
  void OnClosed(int rank, uint64_t epoch, const Status& reason) override;

 private:
  struct Call;
  using Lanes = std::vector<std::shared_ptr<Lane>>;
  using Inputs = std::shared_ptr<const std::string>;  // Encoded, as in RankCall.

  Result<std::shared_ptr<Call>> Submit(GraphId graph, const Inputs& inputs);
  Status Await(Call& call, Deadline deadline, std::vector<Tensor>* outputs);
  void Send(const Call& call, const Lanes& lanes, const Inputs& inputs);
  Lanes FailCalls(uint64_t epoch, const Status& reason) REQUIRES(mutex_);
  Status RankError(int rank, const Call& call, const Status& status) const;
  void Watch();

  const RemoteGroupOptions options_;
  Mutex send_mutex_;  // Held from numbering a call until all lanes have it; before mutex_.
  mutable Mutex mutex_;
  uint64_t last_sequence_ GUARDED_BY(mutex_) = 0;
  uint64_t epoch_ GUARDED_BY(mutex_) = 0;  // The newest that began or ended.
  Lanes lanes_ GUARDED_BY(mutex_);         // Empty between epochs.
  Status not_ready_ GUARDED_BY(mutex_);    // Why, while lanes_ is empty.
  std::map<uint64_t, std::shared_ptr<Call>> calls_ GUARDED_BY(mutex_);  // By sequence.
  bool stopping_ GUARDED_BY(mutex_) = false;
  bool watcher_idle_ GUARDED_BY(mutex_) = true;
  CondVar watcher_wakes_;
  std::jthread watcher_;  // Ends the epoch when the oldest call takes too long.
};

}  // namespace pipeserve
