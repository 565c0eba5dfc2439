#include "workers/conversation.h"

#include <algorithm>
#include <utility>

#include "base/str_cat.h"
#include "pipeserve/log.h"
#include "scheduler/request_scope.h"
#include "workers/worker_roster.h"

namespace pipeserve {
namespace {

using Results = std::vector<Result<Instance>>;
using KeptResults = PendingCall::KeptResults;

// So that a worker that asks for more cannot keep its request's thread for longer.
constexpr std::chrono::seconds kLongestWait{1};

thread_local WorkerConversation* current = nullptr;

CancelToken* CurrentToken() {
  const RequestArena* const arena = RequestScope::Current();
  return arena == nullptr ? nullptr : arena->context().cancelled.get();
}

WorkerMessage ErrorReply(Status status) { return {.status = std::move(status)}; }

Status TooLong() { return DeadlineExceeded("it goes on though its request was given up"); }
Status NoCall() { return Cancelled("the call was taken back"); }

std::vector<WorkerValue> ToValues(const Instance& instance) {
  std::vector<WorkerValue> values;
  values.reserve(instance.size());
  for (const Tensor& tensor : instance) values.push_back({.tensor = tensor});
  return values;
}

}  // namespace

WorkerConversation::WorkerConversation(WorkerRoster& pool, std::shared_ptr<Worker> worker)
    : pool_(pool),
      worker_(std::move(worker)),
      outer_(std::exchange(current, this)),
      token_(CurrentToken()),
      listener_(token_, [this] { given_up_.Raise(); }) {}

WorkerConversation::~WorkerConversation() {
  if (worker_ == nullptr) return;
  if (!lost_) fault_ = "its request was left in the middle";
  EndLost();
}

WorkerConversation* WorkerConversation::Current() { return current; }

void WorkerConversation::End() {
  current = outer_;
  for (const auto& [number, submitted] : submitted_) submitted.call->Cancel();
  pool_.Return(std::exchange(worker_, nullptr));
}

std::string WorkerConversation::EndLost() {
  current = outer_;
  for (const auto& [number, submitted] : submitted_) submitted.call->Cancel();
  residents_.clear();
  const std::string how = pool_.Discard(std::exchange(worker_, nullptr), !fault_.empty());
  if (fault_.empty()) return how;
  Log(LogLevel::kWarning, "worker process killed",
      {{"servable", pool_.options.servable}, {"reason", fault_}});
  return StrCat("was killed: ", fault_);
}

Status WorkerConversation::Lost(const Status& status) {
  lost_ = true;
  if (status.code() != StatusCode::kUnavailable) fault_ = status.message();
  return Unavailable(StrCat("the worker process is lost: ", status.message()));
}

Status WorkerConversation::Send(const WorkerMessage& message) {
  if (lost_) return Unavailable("the worker process is lost");
  const Status status = worker_->channel.Send(message);
  // One that is too large has not been sent.
  if (status.ok() || status.code() == StatusCode::kInvalidArgument) return status;
  return Lost(status);
}

Result<WorkerMessage> WorkerConversation::Next() {
  while (true) {
    // Also of a worker whose messages are always there already.
    if (!grace_.has_value() && token_ != nullptr && token_->raised()) {
      grace_ = Deadline::After(pool_.options.grace);
    }
    const WaitLimit limit =
        grace_.has_value() ? WaitLimit(*grace_) : WaitLimit(Deadline(), &given_up_);
    const Status status = worker_->channel.Await(limit);
    if (status.ok()) break;
    if (status.code() == StatusCode::kDeadlineExceeded) return Lost(TooLong());
    if (status.code() != StatusCode::kAborted) return Lost(status);
  }
  Result<WorkerMessage> message = worker_->channel.Receive();
  if (!message.ok()) return Lost(message.status());
  return message;
}

Result<Results> WorkerConversation::Call(const std::string& key,
                                         std::span<const Instance> instances) {
  WorkerMessage call{.kind = WorkerMessageKind::kCall, .name = key};
  for (const Instance& instance : instances) call.instances.emplace_back(ToValues(instance));
  PIPESERVE_RETURN_IF_ERROR(Send(call));
  begun_ = true;
  while (true) {
    PIPESERVE_ASSIGN_OR_RETURN(WorkerMessage message, Next());
    for (const uint64_t number : message.released) residents_.erase(number);
    if (message.kind == WorkerMessageKind::kResult) return ToResults(message);
    if (message.kind < WorkerMessageKind::kResult) {
      return Lost(InvalidArgument("it takes itself for the front"));
    }
    WorkerMessage reply = Answer(std::move(message));
    Status sent = Send(reply);
    if (sent.code() == StatusCode::kInvalidArgument) sent = Send(ErrorReply(sent));
    PIPESERVE_RETURN_IF_ERROR(sent);
    if (grace_.has_value() && grace_->HasPassed()) {
      return Lost(TooLong());
    }
  }
}

WorkerMessage WorkerConversation::Answer(WorkerMessage message) {
  switch (message.kind) {
    case WorkerMessageKind::kRun:
      return Run(std::move(message));
    case WorkerMessageKind::kSubmit:
      return Submit(std::move(message));
    case WorkerMessageKind::kWait:
      return Wait(message);
    case WorkerMessageKind::kCancel:
      return Cancel(message);
    default:
      return Fetch(message);
  }
}

SubmittedCall::Outcome WorkerConversation::RunHere(const WorkerMessage& message,
                                                   Arguments arguments) {
  const WorkerPoolOptions& options = pool_.options;
  if (message.keep) {
    return pool_.host.RunAndKeep(options.servable, options.version, message.name,
                                 std::move(arguments.instances), arguments.residents,
                                 /*held=*/nullptr);
  }
  return pool_.host.RunMethod(options.servable, options.version, message.name,
                              std::move(arguments.instances), arguments.residents,
                              /*held=*/nullptr);
}

WorkerMessage WorkerConversation::Run(WorkerMessage message) {
  Result<Arguments> arguments = ToArguments(message);
  if (!arguments.ok()) return ErrorReply(arguments.status());
  const SubmittedCall::Outcome outcome = RunHere(message, *std::move(arguments));
  WorkerMessage reply;
  message.keep ? FillOutputs(outcome.kept, &reply) : FillOutputs(outcome.results, &reply);
  return reply;
}

// A method with a function in the workers runs at once: its function needs this very worker, which
// talks to this thread alone.
Result<std::shared_ptr<PendingCall>> WorkerConversation::SubmitHere(const WorkerMessage& message,
                                                                    Arguments arguments) {
  const auto call = std::make_shared<SubmittedCall>(
      RequestScope::Current(), [&] { return RunHere(message, std::move(arguments)); });
  call->Run();
  return std::shared_ptr<PendingCall>(call);
}

WorkerMessage WorkerConversation::Submit(WorkerMessage message) {
  Result<Arguments> arguments = ToArguments(message);
  if (!arguments.ok()) return ErrorReply(arguments.status());
  const WorkerPoolOptions& options = pool_.options;
  const auto submit = message.keep ? &MethodHost::SubmitAndKeep : &MethodHost::SubmitMethod;
  Result<std::shared_ptr<PendingCall>> call =
      pool_.HasStep(message.name)
          ? SubmitHere(message, *std::move(arguments))
          : (pool_.host.*submit)(options.servable, options.version, message.name,
                                 std::move(arguments->instances), std::move(arguments->residents));
  if (!call.ok()) return ErrorReply(call.status());
  submitted_.emplace(++last_number_, Submitted{*std::move(call), message.keep});
  return {.number = last_number_};
}

WorkerMessage WorkerConversation::Wait(const WorkerMessage& message) {
  const auto found = submitted_.find(message.number);
  if (found == submitted_.end()) return ErrorReply(NoCall());
  const auto& [call, keep] = found->second;
  const std::chrono::nanoseconds wanted(message.nanoseconds);
  WorkerMessage reply;
  if (call->WaitFor(std::clamp<std::chrono::nanoseconds>(wanted, {}, kLongestWait))) {
    reply.number = static_cast<uint64_t>(CallState::kDone);
    keep ? FillOutputs(call->kept(), &reply) : FillOutputs(call->result(), &reply);
    submitted_.erase(found);  // The worker keeps what it has been told.
  } else if (call->running()) {
    reply.number = static_cast<uint64_t>(CallState::kRunning);
  }
  return reply;
}

WorkerMessage WorkerConversation::Cancel(const WorkerMessage& message) {
  const auto found = submitted_.find(message.number);
  if (found == submitted_.end()) return ErrorReply(NoCall());
  return {.number = found->second.call->Cancel() ? uint64_t{1} : uint64_t{0}};
}

WorkerMessage WorkerConversation::Fetch(const WorkerMessage& message) {
  const auto resident = Find(message.number);
  if (!resident.ok()) return ErrorReply(resident.status());
  Result<Tensor> tensor = (*resident)->Fetch();
  if (!tensor.ok()) return ErrorReply(tensor.status());
  WorkerMessage reply;
  reply.instances.emplace_back(ToValues({*std::move(tensor)}));
  return reply;
}

Result<std::shared_ptr<const ResidentTensor>> WorkerConversation::Find(uint64_t resident) const {
  const auto found = residents_.find(resident);
  if (found != residents_.end()) return found->second;
  return FailedPrecondition(StrCat("there is no resident tensor ", resident, " of this request"));
}

Result<Tensor> WorkerConversation::ToTensor(const WorkerValue& value,
                                            ResidentTensors* residents) const {
  if (value.resident == 0) return value.tensor;
  PIPESERVE_ASSIGN_OR_RETURN(auto resident, Find(value.resident));
  PIPESERVE_ASSIGN_OR_RETURN(Tensor tensor, resident->Fetch());
  residents->push_back(std::move(resident));
  return tensor;
}

Result<WorkerConversation::Arguments> WorkerConversation::ToArguments(
    const WorkerMessage& message) const {
  Arguments arguments;
  for (const auto& values : message.instances) {
    if (!values.ok()) return values.status();
    Instance& instance = arguments.instances.emplace_back();
    for (const WorkerValue& value : *values) {
      PIPESERVE_ASSIGN_OR_RETURN(Tensor tensor, ToTensor(value, &arguments.residents));
      instance.push_back(std::move(tensor));
    }
  }
  return arguments;
}

Results WorkerConversation::ToResults(const WorkerMessage& message) const {
  Results results;
  for (const auto& values : message.instances) {
    WorkerMessage one;
    one.instances.push_back(values);
    Result<Arguments> arguments = ToArguments(one);
    if (arguments.ok()) {
      results.emplace_back(std::move(arguments->instances.front()));
    } else {
      results.emplace_back(arguments.status());
    }
  }
  return results;
}

void WorkerConversation::FillOutputs(const Result<PendingCall::Results>& results,
                                     WorkerMessage* reply) {
  reply->status = results.status();
  if (!results.ok()) return;
  for (const Result<Instance>& result : *results) {
    if (result.ok()) {
      reply->instances.emplace_back(ToValues(*result));
    } else {
      reply->instances.emplace_back(result.status());
    }
  }
}

void WorkerConversation::FillOutputs(const Result<KeptResults>& results, WorkerMessage* reply) {
  reply->status = results.status();
  if (!results.ok()) return;
  for (const Result<ResidentTensors>& result : *results) {
    if (!result.ok()) {
      reply->instances.emplace_back(result.status());
      continue;
    }
    std::vector<WorkerValue> values;
    for (const auto& resident : *result) {
      residents_.emplace(++last_number_, resident);
      values.push_back({.tensor = Tensor(resident->dtype(), resident->shape(), Buffer()),
                        .resident = last_number_,
                        .title = resident->ToString()});
    }
    reply->instances.emplace_back(std::move(values));
  }
}

}  // namespace pipeserve
