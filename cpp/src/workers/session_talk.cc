#include "workers/session_talk.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <system_error>
#include <utility>

#include "base/str_cat.h"
#include "workers/remote_resident.h"
#include "workers/session_results.h"

namespace pipeserve {
namespace {

// For a function that is at it when the front goes, and for what runs at the process' end.
constexpr std::chrono::seconds kTimeToEnd{5};

WorkerValue ToValue(const Tensor& tensor) {
  const RemoteResident* const resident = RemoteResident::OfArgument(tensor);
  if (resident == nullptr) return {.tensor = tensor};
  return {.tensor = resident->value().tensor, .resident = resident->value().resident};
}

}  // namespace

SessionTalk::SessionTalk(WorkerChannel channel, WorkerSession::Functions functions)
    : channel_(std::move(channel)), functions_(std::move(functions)) {}

SessionTalk::~SessionTalk() {
  end_of_watch_.Raise();
  if (watch_.joinable()) watch_.join();
}

Status SessionTalk::StartWatch() {
  try {
    watch_ = std::thread([this] { Watch(); });
  } catch (const std::system_error& error) {
    return ResourceExhausted(StrCat("no thread for a worker's session: ", error.what()));
  }
  return OkStatus();
}

// The front may have handed copies of its socket to processes that outlive it, so its process is
// watched as well.
void SessionTalk::Watch() {
  const FileDescriptor front(static_cast<int>(syscall(SYS_pidfd_open, getppid(), 0)));
  pollfd polled[] = {{.fd = channel_.socket().fd(), .events = POLLRDHUP, .revents = 0},
                     {.fd = front.fd(), .events = POLLIN, .revents = 0}};
  if (!PollUntil(polled, WaitLimit(Deadline(), &end_of_watch_)).ok()) return;
  const Status end = PollUntil({}, WaitLimit(Deadline::After(kTimeToEnd), &end_of_watch_));
  if (end.code() == StatusCode::kDeadlineExceeded) _exit(1);
}

uint64_t SessionTalk::request() const {
  MutexLock lock(mutex_);
  return depth_ == 0 ? 0 : request_;
}

void SessionTalk::Release(uint64_t resident) {
  MutexLock lock(mutex_);
  released_.push_back(resident);
}

Status SessionTalk::Serve() {
  while (true) {
    const Status begun = channel_.Await(Deadline());
    if (begun.code() == StatusCode::kUnavailable) return OkStatus();
    PIPESERVE_RETURN_IF_ERROR(begun);
    PIPESERVE_ASSIGN_OR_RETURN(const WorkerMessage message, channel_.Receive());
    if (message.kind != WorkerMessageKind::kCall) return Internal("the front calls no function");
    const Status status = RunFunction(message);
    if (status.code() == StatusCode::kUnavailable) return OkStatus();
    PIPESERVE_RETURN_IF_ERROR(status);
  }
}

Result<WorkerMessage> SessionTalk::Ask(WorkerMessage question) {
  {
    MutexLock lock(mutex_);
    while (depth_ > 0 && turn_taken_) changed_.Wait(mutex_);
    if (depth_ == 0) {
      return FailedPrecondition("a worker process runs methods for its request, it has none now");
    }
    turn_taken_ = true;
    question.released = std::exchange(released_, {});
  }
  const auto talk = [&]() -> Result<WorkerMessage> {
    PIPESERVE_RETURN_IF_ERROR(channel_.Send(question));
    while (true) {
      PIPESERVE_RETURN_IF_ERROR(channel_.Await(Deadline()));
      PIPESERVE_ASSIGN_OR_RETURN(WorkerMessage message, channel_.Receive());
      if (message.kind == WorkerMessageKind::kReply) return message;
      PIPESERVE_RETURN_IF_ERROR(RunFunction(message));
    }
  };
  Result<WorkerMessage> reply = talk();
  {
    MutexLock lock(mutex_);
    turn_taken_ = false;
  }
  changed_.NotifyAll();
  if (reply.ok() && !reply->status.ok()) return reply->status;
  return reply;
}

Status SessionTalk::RunFunction(const WorkerMessage& call) {
  int depth = 0;
  {
    MutexLock lock(mutex_);
    depth = ++depth_;
    if (depth == 1) ++request_;
    turn_taken_ = false;
  }
  changed_.NotifyAll();
  const WorkerMessage result = ToResult(CallFunction(call));
  {
    MutexLock lock(mutex_);
    while (turn_taken_ || depth_ != depth) changed_.Wait(mutex_);
    turn_taken_ = true;
  }
  Status sent = channel_.Send(result);
  if (sent.code() == StatusCode::kInvalidArgument) {  // Too large, so nothing has been sent.
    sent = channel_.Send(ToResult(std::vector<Result<Instance>>(call.instances.size(), sent)));
  }
  {
    MutexLock lock(mutex_);
    --depth_;
  }
  changed_.NotifyAll();
  return sent;
}

std::vector<Result<Instance>> SessionTalk::CallFunction(const WorkerMessage& call) {
  const auto found = functions_.find(call.name);
  if (found == functions_.end()) {
    return std::vector<Result<Instance>>(
        call.instances.size(), Internal(StrCat("the worker has no function ", call.name)));
  }
  std::vector<Instance> instances;
  for (Result<Instance>& instance : ToRunResults(call)) {
    if (!instance.ok()) return {call.instances.size(), instance.status()};
    instances.push_back(*std::move(instance));
  }
  return found->second->Call(instances);
}

WorkerMessage SessionTalk::ToResult(const std::vector<Result<Instance>>& results) {
  WorkerMessage result{.kind = WorkerMessageKind::kResult};
  for (const Result<Instance>& one : results) {
    if (one.ok()) {
      result.instances.push_back(std::move(ToValues({*one}).front()));
    } else {
      result.instances.emplace_back(one.status());
    }
  }
  return result;
}

WorkerMessage::Instances SessionTalk::ToValues(const std::vector<Instance>& instances) {
  WorkerMessage::Instances all;
  for (const Instance& instance : instances) {
    std::vector<WorkerValue> values;
    values.reserve(instance.size());
    for (const Tensor& tensor : instance) values.push_back(ToValue(tensor));
    all.emplace_back(std::move(values));
  }
  return all;
}

}  // namespace pipeserve
