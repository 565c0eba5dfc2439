// An agent's side of the link: registers with the server, joins its peers, runs the calls.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "base/interrupt.h"
#include "executor/communicator.h"
#include "executor/executor.h"
#include "executor/group_epoch.h"
#include "pipeserve/agent.h"

namespace pipeserve {

struct AgentSessionOptions {
  std::string server;  // "ip:port" of the hub.
  AgentCredentials credentials = {};
  int rank = 0;
  std::string peer_address;        // Where the other ranks reach this one.
  bool take_shared_memory = true;  // When the server is on this host.
  Executor* executor = nullptr;    // Outlives the session.

  // Connects the ranks of an epoch and gives the executor its communicator. Called on the thread
  // that runs the calls; interrupted when the epoch is over before that.
  std::function<Result<std::shared_ptr<Communicator>>(
      const GroupEpoch& epoch, std::span<const std::string> peers, const WaitLimit& limit)>
      join_peers;

  // Called once, when the server has accepted the agent for the first time.
  std::function<void()> on_connected;

  Duration server_limit = std::chrono::seconds(60);  // Without a server the session gives up.
  Duration join_timeout = std::chrono::seconds(5);
};

class AgentSession {
 public:
  explicit AgentSession(AgentSessionOptions options);
  ~AgentSession();  // Run() must have returned.

  // Serves until the server says exit or Stop() is called: success. Comes back by itself when the
  // connection was lost or a new group has to form.
  //
  // Errors: what the server refused the agent with; kUnavailable (no server for server_limit);
  // kInvalidArgument (credentials that cannot be used).
  Status Run();

  // Says goodbye to the server and makes Run() return soon. From any thread; idempotent.
  void Stop(const std::string& reason);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pipeserve
