#include "agent/remote_group.h"

#include <algorithm>
#include <utility>

#include "base/str_cat.h"
#include "executor/input_check.h"
#include "wire/agent_messages.h"

namespace pipeserve {
namespace {

// Errors that every rank finds alike before its first collective: the ranks stay in step.
bool KeepsRanksInStep(StatusCode code) {
  return code == StatusCode::kOk || code == StatusCode::kInvalidArgument ||
         code == StatusCode::kUnimplemented;
}

}  // namespace

struct RemoteGroup::Call {
  uint64_t sequence = 0;
  uint64_t epoch = 0;
  GraphId graph = 0;
  Deadline deadline;           // Of the ranks, not of the request.
  std::vector<bool> answered;  // By rank.
  int missing = 0;             // Ranks that have not answered.
  Status error;                // The one that explains most so far.
  bool breaks_epoch = false;
  std::vector<Tensor> outputs;
  bool done = false;
  CondVar is_done;
};

RemoteGroup::RemoteGroup(RemoteGroupOptions options)
    : options_(std::move(options)),
      not_ready_(Unavailable(StrCat(options_.servable_name, ": the agents are not ready"))),
      watcher_([this] { Watch(); }) {}

RemoteGroup::~RemoteGroup() {
  uint64_t epoch = 0;
  {
    MutexLock lock(mutex_);
    stopping_ = true;
    epoch = epoch_;
  }
  watcher_wakes_.NotifyAll();
  EndEpoch(epoch, Unavailable(StrCat(options_.servable_name, ": the group is gone")));
}

Status RemoteGroup::Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
                        std::vector<Tensor>* outputs) {
  if (graph < 0 || graph >= graph_count()) {
    return InvalidArgument(
        StrCat(options_.servable_name, " has no graph ", graph, ", it has ", graph_count()));
  }
  PIPESERVE_RETURN_IF_ERROR(CheckInputs(graph, signature(graph), inputs));
  if (context.deadline.HasPassed()) {
    return DeadlineExceeded(
        StrCat(options_.servable_name, ": the deadline passed before graph ", graph, " ran"));
  }
  PIPESERVE_ASSIGN_OR_RETURN(std::string encoded, EncodeInputs(inputs));
  PIPESERVE_ASSIGN_OR_RETURN(
      const std::shared_ptr<Call> call,
      Submit(graph, std::make_shared<const std::string>(std::move(encoded))));
  return Await(*call, context.deadline, outputs);
}

Result<std::shared_ptr<RemoteGroup::Call>> RemoteGroup::Submit(GraphId graph,
                                                               const Inputs& inputs) {
  auto call = std::make_shared<Call>();
  bool wake_watcher = false;
  MutexLock send_lock(send_mutex_);
  Lanes lanes;
  {
    MutexLock lock(mutex_);
    if (lanes_.empty()) return not_ready_;
    call->sequence = ++last_sequence_;
    call->epoch = epoch_;
    call->graph = graph;
    call->deadline = Deadline::After(options_.call_timeout);
    call->answered.resize(lanes_.size());
    call->missing = static_cast<int>(lanes_.size());
    calls_.emplace(call->sequence, call);
    lanes = lanes_;
    wake_watcher = std::exchange(watcher_idle_, false);
  }
  // Deadlines grow from call to call, so a watcher that waits for an earlier one need not know.
  if (wake_watcher) watcher_wakes_.NotifyOne();
  Send(*call, lanes, inputs);
  return call;
}

void RemoteGroup::Send(const Call& call, const Lanes& lanes, const Inputs& inputs) {
  for (size_t rank = 0; rank < lanes.size(); ++rank) {
    const bool takes_inputs =
        options_.all_stages_take_inputs || options_.shape.StageOf(static_cast<int>(rank)) == 0;
    lanes[rank]->Send({.sequence = call.sequence,
                       .epoch = call.epoch,
                       .graph = call.graph,
                       .wants_outputs = rank + 1 == lanes.size(),
                       .inputs = takes_inputs ? inputs : nullptr});
  }
}

Status RemoteGroup::Await(Call& call, Deadline deadline, std::vector<Tensor>* outputs) {
  MutexLock lock(mutex_);
  while (!call.done) {
    if (call.is_done.WaitUntil(mutex_, deadline) || call.done) continue;
    if (deadline.HasPassed()) {
      return DeadlineExceeded(StrCat(options_.servable_name, ": graph ", call.graph,
                                     " has not finished before the request's deadline"));
    }
  }
  if (call.error.ok()) *outputs = std::move(call.outputs);
  return call.error;
}

void RemoteGroup::BeginEpoch(uint64_t epoch, Lanes lanes) {
  {
    MutexLock lock(mutex_);
    if (epoch > epoch_) {
      epoch_ = epoch;
      lanes_ = std::move(lanes);
      return;
    }
  }
  const Status reason = Unavailable(StrCat("epoch ", epoch, " is over"));
  for (const std::shared_ptr<Lane>& lane : lanes) lane->Close(reason);
}

void RemoteGroup::EndEpoch(uint64_t epoch, const Status& reason) {
  Lanes lanes;
  {
    MutexLock lock(mutex_);
    lanes = FailCalls(epoch, reason);
  }
  for (const std::shared_ptr<Lane>& lane : lanes) lane->Close(reason);
}

// Returns the lanes that the caller closes once it holds no lock.
RemoteGroup::Lanes RemoteGroup::FailCalls(uint64_t epoch, const Status& reason) {
  if (epoch < epoch_ || (epoch == epoch_ && lanes_.empty())) return {};
  epoch_ = epoch;
  not_ready_ = Unavailable(reason.message());
  for (auto& [sequence, call] : calls_) {
    call->error = call->deadline.HasPassed() ? reason : not_ready_;
    call->done = true;
    call->is_done.NotifyAll();
  }
  calls_.clear();
  return std::exchange(lanes_, {});
}

bool RemoteGroup::ready() const {
  MutexLock lock(mutex_);
  return !lanes_.empty();
}

void RemoteGroup::OnReply(int rank, RankReply reply) {
  Lanes closing;
  Status reason;
  {
    MutexLock lock(mutex_);
    const auto it = calls_.find(reply.sequence);
    if (it == calls_.end() || it->second->epoch != reply.epoch) return;  // A late answer.
    const std::shared_ptr<Call> call = it->second;
    const size_t index = static_cast<size_t>(rank);
    if (call->answered[index]) return;
    call->answered[index] = true;
    if (index + 1 == call->answered.size()) {
      const size_t wanted = signature(call->graph).outputs.size();
      if (reply.status.ok() && reply.outputs.size() != wanted) {
        reply.status =
            Internal(StrCat("wanted ", wanted, " outputs, ", reply.outputs.size(), " came"));
      }
      call->outputs = std::move(reply.outputs);
    }
    // A rank that was only drawn into the failure of another says kAborted.
    if (!reply.status.ok() && (call->error.ok() || call->error.code() == StatusCode::kAborted)) {
      call->error = RankError(rank, *call, reply.status);
    }
    call->breaks_epoch |= !KeepsRanksInStep(reply.status.code());
    if (--call->missing > 0) return;
    calls_.erase(it);
    call->done = true;
    call->is_done.NotifyAll();
    if (call->breaks_epoch) {
      reason = Unavailable(call->error.message());
      closing = FailCalls(reply.epoch, reason);
    }
  }
  for (const std::shared_ptr<Lane>& lane : closing) lane->Close(reason);
}

void RemoteGroup::OnClosed(int rank, uint64_t epoch, const Status& reason) {
  EndEpoch(epoch,
           Unavailable(StrCat(options_.servable_name, ": Error happened on get result of rank ",
                              rank, ": ", reason.message())));
}

Status RemoteGroup::RankError(int rank, const Call& call, const Status& status) const {
  return status.WithContext(StrCat(options_.servable_name,
                                   ": Error happened on get result of rank ", rank, ": graph ",
                                   call.graph));
}

void RemoteGroup::Watch() {
  while (true) {
    Lanes closing;
    Status reason;
    {
      MutexLock lock(mutex_);
      while (!stopping_ && (calls_.empty() || !calls_.begin()->second->deadline.HasPassed())) {
        watcher_idle_ = calls_.empty();
        watcher_wakes_.WaitUntil(
            mutex_, calls_.empty() ? Deadline::Infinite() : calls_.begin()->second->deadline);
      }
      if (stopping_) return;
      const Call& late = *calls_.begin()->second;
      const auto rank = std::find(late.answered.begin(), late.answered.end(), false);
      reason = DeadlineExceeded(StrCat(
          options_.servable_name, ": Failed to wait for result of rank ",
          rank - late.answered.begin(), ": graph ", late.graph, " has not finished within ",
          std::chrono::duration_cast<std::chrono::milliseconds>(options_.call_timeout).count(),
          " ms"));
      closing = FailCalls(late.epoch, reason);
    }
    for (const std::shared_ptr<Lane>& lane : closing) lane->Close(reason);
  }
}

}  // namespace pipeserve
