// The state of the simulator.
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>

#include "device_memory.h"
#include "faults.h"
#include "host_memory.h"
#include "objects.h"
#include "report.h"
#include "settings.h"
#include "stream.h"

namespace pipeserve::ascend::sim {

struct Model;

// One for the process, never destroyed: streams may still work when the process ends.
struct Core {
  static Core& Get();

  std::mutex mutex;                 // Guards all that follows, and is held while tasks compute.
  std::condition_variable changed;  // Notified whenever anything is passed, queued or let go.

  Settings settings;
  Report report;
  Faults faults;
  ObjectTable objects;
  DeviceMemory device_memory;
  HostMemory host_memory;
  std::map<uint32_t, std::shared_ptr<Model>> models;
  std::array<uint64_t, 4> copies{};  // So far, by their kinds.
  uint32_t next_model = 1;

  // What the host has waited for. One for all its threads, because how they wait for each other
  // cannot be seen.
  Clock host_clock;
  std::map<std::thread::id, Clock> thread_clocks;  // What each has waited for itself.
  StreamId next_stream = 1;
  uint64_t hangs_ended = 0;  // Hanging tasks that have come before go on.
  uint64_t hangs = 0;
  std::mt19937_64 random;

  bool initialised = false;
  bool finalised = false;
  bool foreign_init = false;     // As if another library had done it.
  std::atomic<int> process = 0;  // That called aclInit.
  struct Device {
    int set_count = 0;
    std::shared_ptr<ContextObject> context;  // The one of SetDevice.
  };
  std::map<int32_t, Device> devices;

  // The calling thread has waited for it.
  void HostReaches(const Clock& reached) {
    Merge(host_clock, reached);
    Merge(thread_clocks[std::this_thread::get_id()], reached);
  }

  uint64_t copies_of(abi::MemcpyKind kind) const { return copies.at(static_cast<size_t>(kind)); }
  void Break(const std::string& rule, const std::string& text);
  // Appends a line to the file that $PIPESERVE_ASCEND_SIM_SUMMARY names, for tests that look at
  // processes from outside: a run that ended as it should has one.
  void WriteSummary() const;
  // Appends a line to the file that $PIPESERVE_ASCEND_SIM_CALLS names.
  void WriteCalls(const std::string& line) const;
  // What $PIPESERVE_ASCEND_SIM says.
  void ReadSettings();
  // Ends all streams and drops all objects and memory.
  void DropAll(Lock& lock);
  // Each object and block that is still there, with its origin.
  std::vector<std::string> Live() const;
  // The id that the machine has for the device that this process calls `device`.
  int PhysicalDevice(int32_t device) const;
  uint32_t DeviceCount() const;

 private:
  Core();
};

// Carries out one command of control.h; its answer.
std::string RunCommand(Core& core, Lock& lock, const std::string& command);
// Carries out those that an environment variable holds.
void RunCommandsOf(Core& core, Lock& lock, const std::string& variable);

}  // namespace pipeserve::ascend::sim
