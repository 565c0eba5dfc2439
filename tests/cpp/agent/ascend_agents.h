// pipeserve-agent on the simulated Ascend devices of tests/ascend, one process per rank.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "agent/agent_hub.h"
#include "agent/agent_process.h"
#include "base/str_cat.h"
#include "support/fixture_values.h"
#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve {

inline std::string ReadWhole(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A variable of the environment, while this lives.
class Variable {
 public:
  Variable(std::string name, const std::string& value) : name_(std::move(name)) {
    ::setenv(name_.c_str(), value.c_str(), 1);
  }
  ~Variable() { ::unsetenv(name_.c_str()); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const std::string name_;
};

// Set for the agents, which find the simulator where a toolkit's home should be.
class SimulatedDevices {
 public:
  SimulatedDevices(const TestFolder& folder, const std::string& settings)
      : report_file_(folder.File("violations")),
        calls_file_(folder.File("calls")),
        home_("ASCEND_HOME_PATH", PIPESERVE_ASCEND_SIM),
        settings_("PIPESERVE_ASCEND_SIM", settings),
        report_("PIPESERVE_ASCEND_SIM_REPORT", report_file_),
        calls_("PIPESERVE_ASCEND_SIM_CALLS", calls_file_) {}

  // What they have reported: broken rules, and what was left behind.
  std::string Violations() const { return ReadWhole(report_file_); }
  // Lines of the processes that gave their device back, "<pid> <function> <count>", and of the
  // calls that were told to fail, "<pid> failed <function> <code>".
  std::string Calls() const { return ReadWhole(calls_file_); }

 private:
  const std::string report_file_, calls_file_;
  const Variable home_, settings_, report_, calls_;
};

// A server for all ranks of a sharded model, and their agents once they are spawned.
class AgentsOnAscend {
 public:
  // `graphs` are files of the model's folder. What agents log goes to files in `logs`.
  AgentsOnAscend(const TestFolder& logs, const ShardedModel& model, std::vector<std::string> graphs,
                 std::vector<std::string> flags = {})
      : logs_(logs), model_(model), graphs_(std::move(graphs)), flags_(std::move(flags)) {
    AgentHubOptions options;
    options.servable_name = "net";
    options.rank_table.ranks.resize(static_cast<size_t>(model.ranks), {"127.0.0.1", 0});
    options.address = "127.0.0.1:0";
    options.call_timeout = std::chrono::seconds(5);
    options.failover_timeout = std::chrono::milliseconds(0);  // A call that loses its group fails.
    auto hub = AgentHub::Create(options);
    EXPECT_OK(hub);
    hub_ = *std::move(hub);
    agents_.resize(static_cast<size_t>(model_.ranks));
  }

  // `commands` are for the simulator of this rank alone, `more` are flags for it.
  void Spawn(int rank, const std::string& commands = "",
             const std::vector<std::string>& more = {}) {
    const Variable for_it_alone("PIPESERVE_ASCEND_SIM_COMMANDS", commands);
    const auto folder = SharedFile("mindir/sharded") / model_.folder / StrCat("device", rank);
    std::vector<std::string> flags = {"--server",
                                      hub_->address(),
                                      "--rank",
                                      StrCat(rank),
                                      "--rank-size",
                                      StrCat(model_.ranks),
                                      "--device",
                                      "ascend",
                                      "--deterministic",
                                      "--device-id",
                                      StrCat(rank),
                                      "--group-config",
                                      (folder / "group_config.pb").string()};
    for (const std::string& graph : graphs_) {
      flags.insert(flags.end(), {"--model", (folder / StrCat(graph, ".mindir")).string()});
    }
    flags.insert(flags.end(), flags_.begin(), flags_.end());
    flags.insert(flags.end(), more.begin(), more.end());
    agents_[static_cast<size_t>(rank)] = std::make_unique<AgentProcess>(flags, "", LogFile(rank));
  }
  void SpawnAll() {
    for (int rank = 0; rank < model_.ranks; ++rank) Spawn(rank);
  }

  int ranks() const { return model_.ranks; }
  AgentHub& hub() { return *hub_; }
  AgentProcess& agent(int rank) { return *agents_[static_cast<size_t>(rank)]; }
  std::string Log(int rank) const { return ReadWhole(LogFile(rank)); }

  Result<std::shared_ptr<Executor>> WaitReady() {
    return hub_->WaitReady(Deadline::After(std::chrono::seconds(60)));
  }

  // Tells all to end. Their exit codes.
  std::vector<int> Stop() {
    hub_->Stop();
    std::vector<int> codes;
    for (const auto& agent : agents_) codes.push_back(agent->Wait());
    return codes;
  }

 private:
  std::string LogFile(int rank) const { return logs_.File(StrCat("log", rank)); }

  const TestFolder& logs_;
  const ShardedModel model_;
  const std::vector<std::string> graphs_, flags_;
  std::unique_ptr<AgentHub> hub_;
  std::vector<std::unique_ptr<AgentProcess>> agents_;
};

// A call of one of the stored models.
inline Status RunStored(Executor& executor, GraphId graph, const std::string& model,
                        std::vector<Tensor>* outputs) {
  const std::vector<Tensor> inputs = Numbered(StoredValues(model), "in");
  return executor.Run(graph, inputs, {}, outputs);
}

inline void ExpectStored(Executor& executor, GraphId graph, const std::string& model) {
  std::vector<Tensor> outputs;
  ASSERT_OK(RunStored(executor, graph, model, &outputs));
  ExpectClose(outputs.at(0), StoredValues(model).at("out0"));
}

}  // namespace pipeserve
