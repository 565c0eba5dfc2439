// Agents without processes.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "agent/agent_session.h"
#include "executor/cpu/cpu_executor.h"
#include "executor/join_collectives.h"

namespace pipeserve {

// One agent of two, as the program has it, on a thread.
class TestAgent {
 public:
  TestAgent(const std::string& server, int rank, std::vector<Graph> graphs,
            AgentCredentials credentials = {})
      : listener_(*SocketListener::Open("127.0.0.1:0")),
        executor_(*CpuExecutor::Create(std::move(graphs),
                                       {.threads = 1, .communicator = nullptr, .rank_size = 2})),
        session_({.server = server,
                  .credentials = std::move(credentials),
                  .rank = rank,
                  .peer_address = listener_.address(),
                  .executor = executor_.get(),
                  .join_peers =
                      [this, rank](const GroupEpoch& epoch, std::span<const std::string> peers,
                                   const WaitLimit& limit, const AnnounceCommunicator& announce) {
                        auto joined = JoinCollectives(listener_, rank, peers, epoch, limit);
                        if (!joined.ok()) return joined.status();
                        return executor_->JoinGroup(*joined, limit.deadline, announce);
                      },
                  .on_connected = {},
                  .server_limit = std::chrono::seconds(10)}),
        thread_([this] { status_ = session_.Run(); }) {}
  ~TestAgent() { Kill(); }

  void Kill() {
    session_.Stop("killed");
    (void)Join();  // Whatever it ended with.
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

// y = all ranks' (x + rank), one after the other.
inline Graph GatherGraph(int rank, int64_t width) {
  Graph graph;
  const ValueId x = graph.AddValue({"x", DataType::kFloat32, {width}});
  const ValueId own = graph.AddValue({"own", DataType::kFloat32, {1}});
  const ValueId sum = graph.AddValue({"sum", DataType::kFloat32, {width}});
  const ValueId y = graph.AddValue({"y", DataType::kFloat32, {2 * width}});
  graph.name = "gather";
  graph.constants[own] = Tensor::Of<float>({1}, {static_cast<float>(rank)});
  graph.nodes = {{OpType::kAdd, "add", {x, own}, {sum}, {}},
                 {OpType::kAllGather,
                  "gather",
                  {sum},
                  {y},
                  CollectiveAttributes{.group = "hccl_world_group", .ranks = {}, .rank_size = 2}}};
  graph.inputs = {x};
  graph.outputs = {y};
  return graph;
}

class GatherAgent : public TestAgent {
 public:
  GatherAgent(const std::string& server, int rank, int64_t width = 2,
              AgentCredentials credentials = {})
      : TestAgent(server, rank, {GatherGraph(rank, width)}, std::move(credentials)) {}
};

}  // namespace pipeserve
