#include "core.h"

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace pipeserve::ascend::sim {
namespace {

std::vector<int> VisibleDevices() {
  const char* const list = std::getenv("ASCEND_RT_VISIBLE_DEVICES");
  std::vector<int> devices;
  std::istringstream text(list == nullptr ? "" : list);
  for (std::string each; std::getline(text, each, ',');) devices.push_back(std::atoi(each.c_str()));
  return devices;
}

}  // namespace

Core& Core::Get() {
  static Core* const core = [] {
    auto* const made = new Core;
    Lock lock(made->mutex);
    RunCommandsOf(*made, lock, "PIPESERVE_ASCEND_SIM_COMMANDS");
    return made;
  }();
  return *core;
}

Core::Core() { ReadSettings(); }

void Core::ReadSettings() {
  settings = Settings();
  const char* const text = std::getenv("PIPESERVE_ASCEND_SIM");
  const std::string wrong = settings.Apply(text == nullptr ? "" : text);
  if (!wrong.empty()) {
    std::fprintf(stderr, "PIPESERVE_ASCEND_SIM: %s\n", wrong.c_str());
    std::abort();
  }
  random.seed(settings.seed);
}

void Core::Break(const std::string& rule, const std::string& text) {
  report.Add(rule, text, settings.stop_at_violation);
}

void Core::WriteCalls(const std::string& line) const {
  const char* const path = std::getenv("PIPESERVE_ASCEND_SIM_CALLS");
  if (path == nullptr || *path == '\0') return;
  AppendLine(path, std::to_string(getpid()) + " " + line);
}

void Core::WriteSummary() const {
  for (int i = 0; i < kFunctionCount; ++i) {
    const auto function = static_cast<Function>(i);
    const uint64_t count = faults.calls_of(function);
    if (count > 0) WriteCalls(std::string(NameOf(function)) + " " + std::to_string(count));
  }
  const char* const path = std::getenv("PIPESERVE_ASCEND_SIM_SUMMARY");
  if (path == nullptr || *path == '\0') return;
  const auto copies = [this](abi::MemcpyKind kind) { return std::to_string(copies_of(kind)); };
  AppendLine(path, std::to_string(getpid()) + " copied " + copies(abi::MemcpyKind::kHostToDevice) +
                       " there and " + copies(abi::MemcpyKind::kDeviceToHost) +
                       " back, finalised after " + std::to_string(faults.calls()) + " calls and " +
                       std::to_string(faults.tasks()) + " tasks");
}

void Core::DropAll(Lock& lock) {
  for (const auto& [handle, object] : std::map(objects.live())) {
    if (object->kind() == Kind::kContext) {
      std::static_pointer_cast<ContextObject>(object)->default_stream = nullptr;
    } else if (object->kind() == Kind::kStream) {
      std::static_pointer_cast<StreamObject>(object)->Abandon(lock);
    }
  }
  objects.Clear();
  models.clear();
  devices.clear();
  device_memory.FreeAll();
  host_memory.FreeAll();
}

std::vector<std::string> Core::Live() const {
  std::vector<std::string> lines;
  for (const auto& [handle, object] : objects.live()) {
    if (!object->counted) continue;
    lines.push_back(std::string(NameOf(object->kind())) + " of " + object->origin().Text());
  }
  const auto add_blocks = [&](const auto& blocks, const char* what) {
    for (const auto& [address, block] : blocks) {
      lines.push_back(std::to_string(block->size) + " bytes of " + what + " memory of " +
                      block->origin.Text());
    }
  };
  add_blocks(device_memory.blocks(), "device");
  add_blocks(host_memory.blocks(), "pinned");
  for (const auto& [id, model] : models) lines.push_back("model " + std::to_string(id));
  return lines;
}

int Core::PhysicalDevice(int32_t device) const {
  const std::vector<int> visible = VisibleDevices();
  if (visible.empty()) return device;
  return static_cast<size_t>(device) < visible.size() ? visible[static_cast<size_t>(device)] : -1;
}

uint32_t Core::DeviceCount() const {
  const std::vector<int> visible = VisibleDevices();
  return visible.empty() ? settings.devices : static_cast<uint32_t>(visible.size());
}

}  // namespace pipeserve::ascend::sim
