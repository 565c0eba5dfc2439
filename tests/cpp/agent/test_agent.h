// Agents without processes.
#pragma once

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/agent_session.h"
#include "executor/cpu/cpu_executor.h"
#include "executor/socket_communicator.h"

namespace pipeserve {

// One agent of two, as the program has it, on a thread.
class TestAgent {
 public:
  TestAgent(const std::string& server, int rank, std::vector<Graph> graphs)
      : listener_(*SocketListener::Open("127.0.0.1:0")),
        executor_(*CpuExecutor::Create(std::move(graphs),
                                       {.threads = 1, .communicator = nullptr, .rank_size = 2})),
        session_({.server = server,
                  .rank = rank,
                  .peer_address = listener_.address(),
                  .executor = executor_.get(),
                  .join_peers =
                      [this, rank](uint64_t epoch, std::span<const std::string> peers,
                                   const WaitLimit& limit) {
                        auto joined =
                            SocketCommunicator::Connect(listener_, rank, peers, epoch, limit);
                        if (joined.ok()) executor_->SetCommunicator(*joined);
                        return joined;
                      },
                  .on_connected = {},
                  .server_limit = std::chrono::seconds(10)}),
        thread_([this] { status_ = session_.Run(); }) {}
  ~TestAgent() { Kill(); }

  void Kill() {
    session_.Stop("killed");
    (void)Join();
  }
  Status Join() {
    if (thread_.joinable()) thread_.join();
    return status_;
  }

 private:
  SocketListener listener_;
  std::unique_ptr<CpuExecutor> executor_;
  Status status_;
  AgentSession session_;
  std::jthread thread_;
};

}  // namespace pipeserve
