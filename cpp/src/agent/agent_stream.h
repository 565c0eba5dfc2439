// The server's end of one agent's stream.
#pragma once

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "agent.grpc.pb.h"
#include "agent/agent_link.h"
#include "agent/group_keeper.h"
#include "agent/reply_box.h"
#include "base/mutex.h"

namespace pipeserve {

// One Connect() of the hub. Owns itself until the stream is done. Its messages are bytes, so that
// the inputs of a call are encoded once for all ranks.
class AgentStream final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>,
                          public AgentLink,
                          public std::enable_shared_from_this<AgentStream> {
 public:
  AgentStream(std::shared_ptr<GroupKeeper> keeper, grpc::CallbackServerContext* context)
      : keeper_(std::move(keeper)), context_(context) {}

  void Start();

  void Send(const RankCall& call) override;
  uint64_t answered() const override { return replies_.answered(); }
  Status Await(uint64_t sequence, const CallContext& context) override {
    return replies_.Await(sequence, context);
  }
  void Wake() override { replies_.Wake(); }
  RankReply Take(uint64_t sequence) override { return replies_.Take(sequence); }
  void Drop(uint64_t sequence) override { replies_.Drop(sequence); }
  void FormGroup(const GroupEpoch& epoch, const std::vector<std::string>& peer_addresses,
                 bool shared_memory) override;
  void Exit(const std::string& reason) override;
  // Not what has been told to exit, which takes the time that the hub gives it.
  void Close(const Status& reason) override;

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  enum class Ending { kNone, kAfterQueued, kNow };

  void Queue(grpc::ByteBuffer message) EXCLUDES(mutex_);
  void End(const Status& reason, Ending ending) EXCLUDES(mutex_);
  // Starts what comes next, when nothing is on its way: a message, or the end.
  void Advance(bool was_writing) EXCLUDES(mutex_);

  // False when no further message is wanted.
  bool Handle(const proto::AgentMessage& message);
  bool HandleCallDone(const proto::CallDone& done);
  bool HandleHello(const proto::AgentMessage& message);

  const std::shared_ptr<GroupKeeper> keeper_;
  grpc::CallbackServerContext* const context_;
  std::shared_ptr<AgentStream> self_;

  // Of the read callbacks, one at a time; OnDone comes after the last.
  grpc::ByteBuffer incoming_;
  int rank_ = -1;
  bool connected_ = false;

  ReplyBox replies_;
  Mutex mutex_;
  std::deque<grpc::ByteBuffer> queue_ GUARDED_BY(mutex_);
  grpc::ByteBuffer outgoing_;  // Of the write that is on its way.
  bool writing_ GUARDED_BY(mutex_) = false;
  bool finished_ GUARDED_BY(mutex_) = false;
  Ending ending_ GUARDED_BY(mutex_) = Ending::kNone;
  Status reason_ GUARDED_BY(mutex_);
};

}  // namespace pipeserve
