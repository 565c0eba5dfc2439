#include "agent/remote_group.h"

#include <algorithm>
#include <utility>

#include "base/str_cat.h"
#include "executor/input_check.h"
#include "wire/agent_messages.h"

namespace pipeserve {
namespace {

// How long the rank that failed first may take to say so, after others that it drew in.
constexpr auto kExplanationTime = std::chrono::milliseconds(500);

constexpr auto kFirstLook = std::chrono::milliseconds(1);

// Errors that every rank finds alike before its first collective: the ranks stay in step.
bool KeepsRanksInStep(StatusCode code) {
  return code == StatusCode::kOk || code == StatusCode::kInvalidArgument ||
         code == StatusCode::kUnimplemented;
}

}  // namespace

// Immutable once it is sent, but for what mutex_ guards.
struct RemoteGroup::Call {
  Call(GraphId called, std::span<const Tensor> tensors, bool keeps)
      : graph(called), inputs(tensors), keeps_outputs(keeps) {}

  uint64_t sequence = 0;
  uint64_t epoch = 0;
  const GraphId graph;
  CallInputs inputs;
  const bool keeps_outputs;
  Deadline deadline;  // Of the ranks, not of the request.
  LanesPtr lanes;
  // Guarded by mutex_:
  bool epoch_ended = false;
  Status error;  // Then.

  bool HasBeenAnswered() const {
    return std::all_of(lanes->begin(), lanes->end(),
                       [this](const auto& lane) { return lane->answered() >= sequence; });
  }
};

// The right to send, of one call at a time.
class RemoteGroup::Turn {
 public:
  // The turn has been taken.
  explicit Turn(RemoteGroup* group) : group_(*group) {}
  ~Turn() {
    {
      MutexLock lock(group_.mutex_);
      group_.turn_taken_ = false;
    }
    group_.turn_.NotifyOne();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;

 private:
  RemoteGroup& group_;
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

Buffer RemoteGroup::MakeRoom(size_t bytes) {
  LanesPtr lanes;
  {
    MutexLock lock(mutex_);
    lanes = lanes_;
  }
  std::optional<Buffer> room;
  for (size_t rank = 0; lanes != nullptr && rank < lanes->size() && !room.has_value(); ++rank) {
    room = (*lanes)[rank]->MakeRoom(bytes);
  }
  return room.has_value() ? *std::move(room) : Buffer::Allocate(bytes);
}

Status RemoteGroup::Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
                        std::vector<Tensor>* outputs) {
  uint64_t epoch = 0;
  return Run(graph, inputs, context, outputs, &epoch);
}

Status RemoteGroup::Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
                        std::vector<Tensor>* outputs, uint64_t* epoch) {
  *epoch = 0;
  if (graph < 0 || graph >= graph_count()) {
    return InvalidArgument(
        StrCat(options_.servable_name, " has no graph ", graph, ", it has ", graph_count()));
  }
  PIPESERVE_RETURN_IF_ERROR(CheckInputs(graph, signature(graph), inputs));
  PIPESERVE_RETURN_IF_ERROR(CheckInputsSize(inputs));
  if (context.deadline.HasPassed()) {
    return DeadlineExceeded(
        StrCat(options_.servable_name, ": the deadline passed before graph ", graph, " ran"));
  }
  const CancelListener listener(context.cancelled.get(), [this] { WakeAll(); });
  PIPESERVE_ASSIGN_OR_RETURN(const std::shared_ptr<Call> call, Submit(graph, inputs, context));
  *epoch = call->epoch;
  const Status status = Await(*call, context, outputs);
  if (!status.ok()) GiveUp(*call);
  {
    MutexLock lock(mutex_);
    waited_for_.erase(call->sequence);
    DropAnswered();
  }
  room_.NotifyAll();
  return status;
}

// Its answer is not taken any more.
void RemoteGroup::GiveUp(const Call& call) {
  call.lanes->back()->Drop(call.sequence);  // Only the last rank's answer has bytes.
  {
    MutexLock lock(mutex_);
    if (call.epoch_ended) return;
    next_look_ = kFirstLook;
    watcher_sleeps_ = false;
  }
  watcher_wakes_.NotifyOne();
}

// A request has been given up: whoever waits looks whether it is the own one.
void RemoteGroup::WakeAll() {
  LanesPtr lanes;
  {
    MutexLock lock(mutex_);
    lanes = lanes_;
  }
  turn_.NotifyAll();
  room_.NotifyAll();
  epoch_begins_.NotifyAll();
  if (lanes == nullptr) return;  // All lanes are closed, so nobody waits at them.
  for (const std::shared_ptr<Lane>& lane : *lanes) lane->Wake();
}

Result<std::shared_ptr<RemoteGroup::Call>> RemoteGroup::Submit(GraphId graph,
                                                               std::span<const Tensor> inputs,
                                                               const CallContext& context) {
  auto call = std::make_shared<Call>(graph, inputs, context.keeps_outputs);
  PIPESERVE_RETURN_IF_ERROR(TakeTurn(graph, context));
  const Turn turn(this);
  PIPESERVE_RETURN_IF_ERROR(AwaitRoom(call.get(), context));
  bool wake_watcher = false;
  {
    MutexLock lock(mutex_);
    if (lanes_ != call->lanes) return not_ready_;
    call->deadline = Deadline::After(options_.call_timeout);
    last_sequence_ = call->sequence;
    waited_for_.emplace(call->sequence, call);
    DropAnswered();
    unanswered_.push_back(call);
    wake_watcher = std::exchange(watcher_sleeps_, false);
  }
  // Deadlines grow from call to call, so a watcher that waits for an earlier one need not know.
  if (wake_watcher) watcher_wakes_.NotifyOne();
  Send(call.get());
  return call;
}

Status RemoteGroup::TakeTurn(GraphId graph, const CallContext& context) {
  MutexLock lock(mutex_);
  while (turn_taken_) {
    if (context.is_cancelled() || context.deadline.HasPassed()) {
      turn_.NotifyOne();  // This thread may be the one that was woken.
      return NobodyWaits(graph, context);
    }
    turn_.WaitUntil(mutex_, context.deadline);
  }
  turn_taken_ = true;
  return OkStatus();
}

// Numbers the call once the group can take it.
Status RemoteGroup::AwaitRoom(Call* call, const CallContext& context) {
  uint64_t first = 0;
  {
    MutexLock lock(mutex_);
    call->sequence = last_sequence_ + 1;
    while (!waited_for_.empty() && waited_for_.begin()->first + kCallWindow <= call->sequence) {
      if (context.is_cancelled() || context.deadline.HasPassed()) {
        return NobodyWaits(call->graph, context);
      }
      room_.WaitUntil(mutex_, context.deadline);
    }
    if (lanes_ == nullptr) return not_ready_;
    call->lanes = lanes_;
    call->epoch = epoch_;
    first = first_sequence_;
  }
  if (call->sequence < first + kMaxLag) return OkStatus();
  for (size_t rank = 0; rank < call->lanes->size(); ++rank) {
    Lane& lane = *(*call->lanes)[rank];
    const Status waited = lane.Await(call->sequence - kMaxLag, context);
    if (!waited.ok()) return Explain(*call, static_cast<int>(rank), waited, context);
  }
  return OkStatus();
}

void RemoteGroup::Send(Call* call) {
  for (size_t rank = 0; rank < call->lanes->size(); ++rank) {
    const bool takes_inputs =
        options_.all_stages_take_inputs || options_.shape.StageOf(static_cast<int>(rank)) == 0;
    (*call->lanes)[rank]->Send({.sequence = call->sequence,
                                .epoch = call->epoch,
                                .graph = call->graph,
                                .wants_outputs = rank + 1 == call->lanes->size(),
                                .keeps_outputs = call->keeps_outputs,
                                .inputs = takes_inputs ? &call->inputs : nullptr});
  }
}

// The last rank comes first: only its outputs are wanted. The others matter to who waits for all,
// and to explain an error: a rank that was only drawn into the failure of another says kAborted.
Status RemoteGroup::Await(const Call& call, const CallContext& context,
                          std::vector<Tensor>* outputs) {
  Status error;
  bool in_step = true;
  for (size_t rank = call.lanes->size(); rank-- > 0;) {
    Lane& lane = *(*call.lanes)[rank];
    const Status waited = lane.Await(call.sequence, context);
    if (!waited.ok()) {
      if (error.ok()) return Explain(call, static_cast<int>(rank), waited, context);
      break;
    }
    RankReply reply = lane.Take(call.sequence);
    if (rank + 1 == call.lanes->size() && reply.status.ok()) {
      reply.status = CheckOutputs(call.graph, reply.outputs);
      *outputs = std::move(reply.outputs);
    }
    if (!reply.status.ok() && (error.ok() || error.code() == StatusCode::kAborted)) {
      error = RankError(static_cast<int>(rank), call.graph, reply.status);
    }
    in_step = in_step && KeepsRanksInStep(reply.status.code());
    if (error.ok() && !options_.wait_for_all) return error;
  }
  return in_step ? error : EndOutOfStep(call, error);
}

// A rank that lost its server, or a peer, because the epoch is over says so, too: what ended the
// epoch explains more.
Status RemoteGroup::EndOutOfStep(const Call& call, const Status& error) {
  {
    MutexLock lock(mutex_);
    if (call.epoch_ended) return call.error;
  }
  EndEpoch(call.epoch, Unavailable(error.message()));
  return error;
}

Status RemoteGroup::CheckOutputs(GraphId graph, const std::vector<Tensor>& outputs) const {
  const size_t wanted = signature(graph).outputs.size();
  if (outputs.size() == wanted) return OkStatus();
  return Internal(StrCat("wanted ", wanted, " outputs, ", outputs.size(), " came"));
}

// Why a wait for `rank` came to nothing.
Status RemoteGroup::Explain(const Call& call, int rank, const Status& wait_error,
                            const CallContext& context) {
  const bool nobody_waits = wait_error.code() == StatusCode::kDeadlineExceeded ||
                            wait_error.code() == StatusCode::kCancelled;
  if (nobody_waits && !EpochHasEnded(call)) return NobodyWaits(call.graph, context);
  OnClosed(rank, call.epoch, wait_error);  // Unless others have already told better.
  MutexLock lock(mutex_);
  return call.epoch_ended ? call.error : not_ready_;
}

bool RemoteGroup::EpochHasEnded(const Call& call) const {
  MutexLock lock(mutex_);
  return call.epoch_ended || lanes_ != call.lanes;
}

void RemoteGroup::BeginEpoch(uint64_t epoch, std::vector<std::shared_ptr<Lane>> lanes) {
  auto shared = std::make_shared<const Lanes>(std::move(lanes));
  bool begins = false;
  {
    MutexLock lock(mutex_);
    begins = epoch > epoch_;
    if (begins) {
      epoch_ = epoch;
      lanes_ = shared;
      first_sequence_ = last_sequence_ + 1;
    }
  }
  if (begins) return epoch_begins_.NotifyAll();
  CloseAll(shared, Unavailable(StrCat("epoch ", epoch, " is over")));
}

void RemoteGroup::EndEpoch(uint64_t epoch, const Status& reason) {
  LanesPtr lanes;
  {
    MutexLock lock(mutex_);
    lanes = FailCalls(epoch, reason);
  }
  CloseAll(lanes, reason);
}

void RemoteGroup::Stop(const Status& reason) {
  LanesPtr lanes;
  {
    MutexLock lock(mutex_);
    stopped_ = true;
    lanes = FailCalls(epoch_, reason);
    not_ready_ = reason;
  }
  epoch_begins_.NotifyAll();
  CloseAll(lanes, reason);
}

Status RemoteGroup::AwaitEpochAfter(uint64_t epoch, Duration patience, const CallContext& context) {
  const CancelListener listener(context.cancelled.get(), [this] { WakeAll(); });
  MutexLock lock(mutex_);
  while (lanes_ == nullptr || epoch_ <= epoch) {
    if (context.is_cancelled()) {
      return Cancelled(
          StrCat(options_.servable_name, ": the request was given up while its agents were gone"));
    }
    if (context.deadline.HasPassed()) {
      return DeadlineExceeded(StrCat(options_.servable_name,
                                     ": the agents were not back before the request's deadline"));
    }
    const Deadline give_up(ended_at_ + patience);
    if (stopped_ || give_up.HasPassed()) return not_ready_;
    epoch_begins_.WaitUntil(mutex_, Earlier(context.deadline, give_up));
  }
  return OkStatus();
}

void RemoteGroup::CloseAll(const LanesPtr& lanes, const Status& reason) {
  if (lanes == nullptr) return;
  for (const std::shared_ptr<Lane>& lane : *lanes) lane->Close(reason);
}

// Returns the lanes that the caller closes once it holds no lock.
RemoteGroup::LanesPtr RemoteGroup::FailCalls(uint64_t epoch, const Status& reason) {
  if (epoch < epoch_ || (epoch == epoch_ && lanes_ == nullptr)) return nullptr;
  epoch_ = epoch;
  not_ready_ = Unavailable(reason.message());
  for (auto& [sequence, call] : waited_for_) {
    if (std::exchange(call->epoch_ended, true)) continue;
    call->error = call->deadline.HasPassed() ? reason : not_ready_;
  }
  unanswered_.clear();
  drawn_in_ = OkStatus();
  ended_at_ = Clock::System().Now();
  return std::exchange(lanes_, nullptr);
}

bool RemoteGroup::ready() const {
  MutexLock lock(mutex_);
  return lanes_ != nullptr && drawn_in_.ok();
}

bool RemoteGroup::MayBeBack(Duration patience) const {
  MutexLock lock(mutex_);
  return lanes_ != nullptr || (!stopped_ && !Deadline(ended_at_ + patience).HasPassed());
}

void RemoteGroup::OnFailure(int rank, uint64_t epoch, uint64_t sequence, const Status& status) {
  if (KeepsRanksInStep(status.code())) return;
  LanesPtr closing;
  Status reason;
  {
    MutexLock lock(mutex_);
    if (epoch != epoch_ || lanes_ == nullptr) return;
    const auto call = std::find_if(unanswered_.begin(), unanswered_.end(),
                                   [&](const auto& each) { return each->sequence == sequence; });
    if (call == unanswered_.end()) return;
    const Status error = RankError(rank, (*call)->graph, status);
    if (status.code() == StatusCode::kAborted) {
      if (drawn_in_.ok()) {
        drawn_in_ = Unavailable(error.message());
        explanation_until_ = Deadline::After(kExplanationTime);
      }
      watcher_sleeps_ = false;
    } else {
      (*call)->epoch_ended = true;
      (*call)->error = error;
      reason = Unavailable(error.message());
      closing = FailCalls(epoch, reason);
    }
  }
  watcher_wakes_.NotifyOne();
  CloseAll(closing, reason);
}

void RemoteGroup::OnClosed(int rank, uint64_t epoch, const Status& reason) {
  EndEpoch(epoch,
           Unavailable(StrCat(options_.servable_name, ": Error happened on get result of rank ",
                              rank, ": ", reason.message())));
}

Status RemoteGroup::RankError(int rank, GraphId graph, const Status& status) const {
  return status.WithContext(StrCat(
      options_.servable_name, ": Error happened on get result of rank ", rank, ": graph ", graph));
}

Status RemoteGroup::NobodyWaits(GraphId graph, const CallContext& context) const {
  if (!context.deadline.HasPassed()) {
    return Cancelled(
        StrCat(options_.servable_name, ": the request was given up while graph ", graph, " ran"));
  }
  return DeadlineExceeded(StrCat(options_.servable_name, ": graph ", graph,
                                 " has not finished before the request's deadline"));
}

void RemoteGroup::DropAnswered() {
  while (!unanswered_.empty() && unanswered_.front()->HasBeenAnswered()) unanswered_.pop_front();
}

void RemoteGroup::Watch() {
  while (true) {
    LanesPtr closing;
    Status reason;
    {
      MutexLock lock(mutex_);
      reason = AwaitTrouble();
      if (stopping_) return;
      closing = FailCalls(epoch_, reason);
    }
    CloseAll(closing, reason);
  }
}

// Why the epoch must end, once it must, or OK when the group stops. While calls come, it looks only
// as often as one may take, so that no call has to wake it.
Status RemoteGroup::AwaitTrouble() {
  uint64_t newest = last_sequence_;
  while (!stopping_) {
    DropAnswered();
    if (!drawn_in_.ok() && explanation_until_.HasPassed()) return drawn_in_;
    Deadline look;
    if (!unanswered_.empty()) {
      if (unanswered_.front()->deadline.HasPassed()) return LateRank(*unanswered_.front());
      look = unanswered_.front()->deadline;
    } else if (std::exchange(newest, last_sequence_) != last_sequence_) {
      look = Deadline::After(options_.call_timeout);
    }
    if (!drawn_in_.ok()) look = Earlier(look, explanation_until_);
    if (unanswered_.empty()) next_look_ = Duration::zero();
    if (next_look_ > Duration::zero()) {
      look = Earlier(look, Deadline::After(next_look_));
      next_look_ = std::min(2 * next_look_, options_.call_timeout);
    }
    watcher_sleeps_ = look.is_infinite();
    watcher_wakes_.WaitUntil(mutex_, look);
  }
  return OkStatus();
}

Status RemoteGroup::LateRank(const Call& call) const {
  const auto rank = std::find_if(call.lanes->begin(), call.lanes->end(), [&](const auto& lane) {
    return lane->answered() < call.sequence;
  });
  return DeadlineExceeded(StrCat(
      options_.servable_name, ": Failed to wait for result of rank ", rank - call.lanes->begin(),
      ": graph ", call.graph, " has not finished within ",
      std::chrono::duration_cast<std::chrono::milliseconds>(options_.call_timeout).count(), " ms"));
}

}  // namespace pipeserve
