// The agent's end of one stream to the server.
#pragma once

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent.grpc.pb.h"
#include "agent/agent_session.h"
#include "agent/answer_thread.h"
#include "agent/shm_calls.h"
#include "base/bounded_queue.h"
#include "base/mutex.h"
#include "base/timer.h"
#include "base/unix_socket.h"

namespace pipeserve {

// A stream, which lives for one epoch: the thread that made it reads, a second one runs what came,
// in order, and is the only one that writes. Where calls overlap it only begins them, a third one
// waits for their ends and answers; the second then writes before the first call, and when nothing
// is left to be answered.
class AgentConnection {
 public:
  // `listener` may be null: no shared memory is taken. All outlive this.
  AgentConnection(const AgentSessionOptions& options, const UnixListener* listener,
                  proto::AgentHub::Stub& stub, Timer& timer)
      : options_(options), listener_(listener), timer_(timer), stream_(Open(stub)) {
    if (options_.pipeline != nullptr) answers_ = std::make_unique<AnswerThread>();
  }

  // Returns when the stream has ended, and with it the epoch. `on_accepted` runs at the server's
  // first message.
  Status Serve(const std::string& token, const std::function<void()>& on_accepted);
  // After Serve(): not OK when the device was lost.
  const Status& device_health() const { return device_health_; }

  // These may be called by any thread.
  void SayGoodbye(const std::string& reason);
  void Cancel() { context_.TryCancel(); }
  bool told_to_exit() const { return told_to_exit_; }

 private:
  using Stream = grpc::ClientReaderWriter<proto::AgentMessage, proto::ServerMessage>;

  // The server never has more calls in flight than requests that run at once.
  static constexpr size_t kQueuedMessages = 1024;

  // As it came, one way or the other.
  struct Call {
    ShmCalls::Call posted;  // Over the stream: with no places for outputs.
    bool over_stream = false;
    bool wants_outputs = false;
    Status unreadable = {};  // What its message could not be read with.
  };

  struct Item {
    std::optional<proto::ServerMessage> message;  // None: say goodbye.
    std::string goodbye;
  };

  std::unique_ptr<Stream> Open(proto::AgentHub::Stub& stub);
  void Read(const std::function<void()>& on_accepted);
  bool Push(Item* item);
  // The working thread may sleep at the doorbell of the shared memory.
  void WakeWorker() EXCLUDES(mutex_);

  void Work();
  // One step: what the stream brought and whose turn it is, else the next posted call, else sleep.
  // False at the end.
  bool WorkOnShared();
  uint64_t next_sequence() const {
    return next_sequence_ != 0 ? next_sequence_ : calls_->first_sequence();
  }
  // A call that came over the stream may have to wait for one that is posted.
  bool IsDue(const Item& item) const;
  void Handle(const Item& item);

  void Join(const proto::FormGroup& group);
  // Tells that the thread is stuck with `what`, unless the entry goes before that.
  [[nodiscard]] Timer::Entry WatchUntil(Deadline deadline, const char* what);
  void WriteGoodbye(const std::string& reason);
  // After a failure has been told. Other calls are answered before the goodbye.
  void SayGoodbyeIfLost();
  Status AcceptMemory(const GroupEpoch& epoch, const WaitLimit& limit) EXCLUDES(mutex_);
  // Calls run without a deadline: a rank that gave up by its own clock would leave its peers
  // waiting. Only the server ends a call early, by ending the epoch on all ranks.
  void RunPosted(ShmCalls::Call posted);
  void RunCall(const proto::RunCall& message);
  // Runs and answers it, or begins it and leaves the rest to the third thread.
  void Execute(Call call);
  void Begin(std::shared_ptr<const Call> call);
  Status CheckCall(const Call& call) const;
  static CallContext ContextOf(const Call& call);

  void Answer(const Call& call, const Status& status, const std::vector<Tensor>& outputs);
  void AnswerPosted(const ShmCalls::Call& call, const Status& status,
                    const std::vector<Tensor>& outputs);
  void AnswerOverStream(const Call& call, const Status& status, const std::vector<Tensor>& outputs);

  // A communicator that comes after the end is aborted at once.
  void SetCommunicator(std::shared_ptr<Communicator> communicator) EXCLUDES(mutex_);
  // Neither this rank nor its peers wait for each other any more.
  void LeavePeers(const Status& reason) EXCLUDES(mutex_);

  const AgentSessionOptions& options_;
  const UnixListener* const listener_;
  Timer& timer_;
  grpc::ClientContext context_;
  const std::unique_ptr<Stream> stream_;
  BoundedQueue<Item> queue_{kQueuedMessages};
  std::atomic<bool> ended_ = false;
  std::atomic<bool> told_to_exit_ = false;

  std::unique_ptr<AnswerThread> answers_;  // Null when calls do not overlap.

  // Of the working thread.
  uint64_t epoch_ = 0;
  std::shared_ptr<ShmCalls> calls_;  // Null: all calls come over the stream.
  uint64_t next_sequence_ = 0;       // 0 before the first call.
  std::optional<Item> held_;         // From the stream, not due yet.
  bool said_goodbye_ = false;

  Status device_health_;  // Of the thread that answers; before the first call, of the working one.

  Interrupt epoch_over_;
  Mutex mutex_;
  std::shared_ptr<Communicator> communicator_ GUARDED_BY(mutex_);
  std::shared_ptr<ShmCalls> shm_calls_ GUARDED_BY(mutex_);  // calls_, to wake its thread.
};

}  // namespace pipeserve
