#include "pipeserve/worker_session.h"

#include <utility>

#include "workers/remote_call.h"
#include "workers/session_results.h"
#include "workers/session_talk.h"

namespace pipeserve {
namespace {

// What asks for the method to be run on the instances.
WorkerMessage Question(WorkerMessageKind kind, const std::string& method, bool keep,
                       const std::vector<Instance>& instances) {
  return {
      .kind = kind, .keep = keep, .name = method, .instances = SessionTalk::ToValues(instances)};
}

Result<std::shared_ptr<PendingCall>> Submit(const std::shared_ptr<SessionTalk>& talk,
                                            const std::string& method, bool keep,
                                            const std::vector<Instance>& instances) {
  PIPESERVE_ASSIGN_OR_RETURN(
      const WorkerMessage reply,
      talk->Ask(Question(WorkerMessageKind::kSubmit, method, keep, instances)));
  return std::shared_ptr<PendingCall>(std::make_shared<RemoteCall>(talk, reply.number, keep));
}

}  // namespace

WorkerSession::WorkerSession(std::shared_ptr<SessionTalk> talk) : talk_(std::move(talk)) {}
WorkerSession::~WorkerSession() = default;

Result<std::unique_ptr<WorkerSession>> WorkerSession::Create(int socket_fd, Functions functions) {
  PIPESERVE_ASSIGN_OR_RETURN(WorkerChannel channel, WorkerChannel::Open(socket_fd));
  auto talk = std::make_shared<SessionTalk>(std::move(channel), std::move(functions));
  PIPESERVE_RETURN_IF_ERROR(talk->StartWatch());
  return std::unique_ptr<WorkerSession>(new WorkerSession(std::move(talk)));
}

Status WorkerSession::Serve() { return talk_->Serve(); }

Result<std::vector<Result<Instance>>> WorkerSession::RunMethod(
    const std::string& /*servable*/, uint64_t /*version*/, const std::string& method,
    std::vector<Instance> instances, const ResidentTensors& /*residents*/, HostLock* held) {
  const HostLockPause pause(held);
  PIPESERVE_ASSIGN_OR_RETURN(
      const WorkerMessage reply,
      talk_->Ask(Question(WorkerMessageKind::kRun, method, /*keep=*/false, instances)));
  return ToRunResults(reply);
}

Result<std::vector<Result<ResidentTensors>>> WorkerSession::RunAndKeep(
    const std::string& /*servable*/, uint64_t /*version*/, const std::string& method,
    std::vector<Instance> instances, const ResidentTensors& /*residents*/, HostLock* held) {
  const HostLockPause pause(held);
  PIPESERVE_ASSIGN_OR_RETURN(
      const WorkerMessage reply,
      talk_->Ask(Question(WorkerMessageKind::kRun, method, /*keep=*/true, instances)));
  return ToKeptResults(talk_, reply);
}

Result<std::shared_ptr<PendingCall>> WorkerSession::SubmitMethod(const std::string& /*servable*/,
                                                                 uint64_t /*version*/,
                                                                 const std::string& method,
                                                                 std::vector<Instance> instances,
                                                                 ResidentTensors /*residents*/) {
  return Submit(talk_, method, /*keep=*/false, instances);
}

Result<std::shared_ptr<PendingCall>> WorkerSession::SubmitAndKeep(const std::string& /*servable*/,
                                                                  uint64_t /*version*/,
                                                                  const std::string& method,
                                                                  std::vector<Instance> instances,
                                                                  ResidentTensors /*residents*/) {
  return Submit(talk_, method, /*keep=*/true, instances);
}

}  // namespace pipeserve
