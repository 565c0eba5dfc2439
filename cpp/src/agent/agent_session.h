// An agent's side of the link: registers with the server, joins its peers, runs the calls.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/interrupt.h"
#include "executor/call_pipeline.h"
#include "executor/group_epoch.h"
#include "executor/rank_executor.h"
#include "pipeserve/agent.h"

namespace pipeserve {

struct AgentSessionOptions {
  std::string server;  // "ip:port" of the hub.
  AgentCredentials credentials = {};
  int rank = 0;
  std::string peer_address;        // Where the other ranks reach this one.
  bool take_shared_memory = true;  // When the server is on this host.
  Executor* executor = nullptr;    // Outlives the session.
  // Runs the calls instead, several at a time; null: the executor does, one after the other.
  CallPipeline* pipeline = nullptr;
  DeviceTraits device = {};  // The executor's.

  // Connects the ranks of an epoch and gives the executor its communicator. Called on the thread
  // that runs the calls; interrupted when the epoch is over before that, as is what it announces.
  std::function<Status(const GroupEpoch& epoch, std::span<const std::string> peers,
                       const WaitLimit& limit, const AnnounceCommunicator& announce)>
      join_peers;

  // Asked after a call or a join has failed, on the thread that has told so: not OK once the
  // executor can do nothing any more, which ends the session. Null: it always can.
  std::function<Status()> device_health = {};
  // Told when a join, or what the executor does as an epoch ends, has not ended stuck_limit after
  // it had to. Nothing can interrupt that, so this ends the process. Null: it is waited for.
  std::function<void(const Status& reason)> on_stuck = {};

  // Called once, when the server has accepted the agent for the first time.
  std::function<void()> on_connected;

  Duration server_limit = std::chrono::seconds(60);  // Without a server the session gives up.
  Duration join_timeout = std::chrono::seconds(5);
  Duration stuck_limit = std::chrono::seconds(5);
};

class AgentSession {
 public:
  explicit AgentSession(AgentSessionOptions options);
  ~AgentSession();  // Run() must have returned.

  // Serves until the server says exit or Stop() is called: success. Comes back by itself when the
  // connection was lost or a new group has to form.
  //
  // Errors: what the server refused the agent with; kUnavailable (no server for server_limit);
  // kInvalidArgument (credentials that cannot be used); that of device_health.
  Status Run();

  // Says goodbye to the server and makes Run() return soon. From any thread; idempotent.
  void Stop(const std::string& reason);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pipeserve
