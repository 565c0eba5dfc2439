// A group of agents that survives the loss of some: a call whose epoch ended before it was answered
// is made again in the next one.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "agent/remote_group.h"
#include "executor/executor.h"

namespace pipeserve {

// Graphs have no side effects, so making a call again is safe; what calls of a request have given
// before stays as it is. Thread-safe.
//
// A call is made at most kMaxTries times: one that kills whoever runs it must not keep the group
// down. One that is not replayable is not made again; a call that finds no epoch waits for one all
// the same.
class FailoverGroup final : public Executor {
 public:
  static constexpr int kMaxTries = 3;

  // Calls wait at most `patience` from the end of the last epoch for the next one; zero: none waits
  // or is made again.
  FailoverGroup(std::shared_ptr<RemoteGroup> group, Duration patience)
      : group_(std::move(group)), patience_(patience) {}

  int graph_count() const override { return group_->graph_count(); }
  const GraphSignature& signature(GraphId graph) const override { return group_->signature(graph); }
  Buffer MakeRoom(size_t bytes) override { return group_->MakeRoom(bytes); }
  Status Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
             std::vector<Tensor>* outputs) override;
  // False: calls would fail at once.
  bool available() const { return group_->MayBeBack(patience_); }

 private:
  const std::shared_ptr<RemoteGroup> group_;
  const Duration patience_;
};

}  // namespace pipeserve
