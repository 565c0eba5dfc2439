#include "control.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <sstream>

#include "call.h"

namespace pipeserve::ascend::sim {
namespace {

std::string Lines(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += line + "\n";
  return text;
}

std::string Error(const std::string& text) { return "error: " + text; }

std::string FailCall(Core& core, std::istringstream& words) {
  std::string name;
  uint64_t nth = 0;
  if (!(words >> name >> nth) || nth == 0) return Error("fail FUNCTION N [CODE]");
  int32_t code = kUsualCode;
  words >> code;
  if (words.fail()) code = kUsualCode;
  std::optional<Function> function;
  if (name != "*") {
    function = FunctionByName(name);
    if (!function.has_value()) return Error("there is no function " + name);
  }
  core.faults.FailCall(function, nth, code);
  return {};
}

std::string HangCall(Core& core, std::istringstream& words) {
  std::string name;
  uint64_t nth = 0;
  if (!(words >> name >> nth) || nth == 0) return Error("hang FUNCTION N");
  const std::optional<Function> function = FunctionByName(name);
  if (!function.has_value()) return Error("there is no function " + name);
  core.faults.FailCall(function, nth, kHang);
  return {};
}

std::string FailTask(Core& core, std::istringstream& words) {
  uint64_t nth = 0;
  if (!(words >> nth) || nth == 0) return Error("fail-task N [CODE]");
  int32_t code = kUsualCode;
  words >> code;
  core.faults.FailTask(nth, words.fail() ? kUsualCode : code);
  return {};
}

std::string HangTask(Core& core, std::istringstream& words) {
  uint64_t nth = 0;
  if (!(words >> nth) || nth == 0) return Error("hang-task N");
  core.faults.FailTask(nth, kHang);
  return {};
}

std::string CorruptTask(Core& core, std::istringstream& words) {
  std::string name;
  uint64_t nth = 0;
  if (!(words >> name >> nth) || nth == 0) return Error("corrupt-task FUNCTION N");
  const std::optional<Function> function = FunctionByName(name);
  if (!function.has_value()) return Error("there is no function " + name);
  core.faults.CorruptTask(*function, nth);
  return {};
}

std::string LetGo(Core& core) {
  core.faults.CancelHangs();
  core.hangs_ended = core.hangs;
  core.changed.notify_all();
  return {};
}

std::string Set(Core& core, std::istringstream& words) {
  std::string text;
  words >> text;
  const std::string wrong = core.settings.Apply(text);
  core.random.seed(core.settings.seed);
  core.changed.notify_all();  // Streams that were lazy may work now.
  return wrong.empty() ? "" : Error(wrong);
}

std::string Calls(const Core& core, std::istringstream& words) {
  std::string name;
  if (!(words >> name)) return std::to_string(core.faults.calls());
  const std::optional<Function> function = FunctionByName(name);
  if (!function.has_value()) return Error("there is no function " + name);
  return std::to_string(core.faults.calls_of(*function));
}

std::string Copies(const Core& core, std::istringstream& words) {
  constexpr abi::MemcpyKind kKinds[] = {abi::MemcpyKind::kHostToDevice,
                                        abi::MemcpyKind::kDeviceToHost,
                                        abi::MemcpyKind::kDeviceToDevice};
  constexpr const char* kWays[] = {"to-device", "to-host", "on-device"};
  std::string way;
  words >> way;
  const auto* const found = std::find(std::begin(kWays), std::end(kWays), way);
  if (found == std::end(kWays)) return Error("copies to-device, to-host or on-device");
  return std::to_string(core.copies_of(kKinds[found - std::begin(kWays)]));
}

std::string Counts(const Core& core) {
  std::string text;
  for (int i = 0; i < kFunctionCount; ++i) {
    const auto function = static_cast<Function>(i);
    const uint64_t count = core.faults.calls_of(function);
    if (count > 0) text += Text(NameOf(function), ' ', count, '\n');
  }
  return text;
}

std::string Reset(Core& core) {
  core.report.Clear();
  core.faults.Clear();
  core.copies = {};
  core.ReadSettings();
  LetGo(core);
  return {};
}

std::string Wipe(Core& core, Lock& lock) {
  core.DropAll(lock);
  core.initialised = core.finalised = core.foreign_init = false;
  core.process = 0;
  return Reset(core);
}

}  // namespace

std::string RunCommand(Core& core, Lock& lock, const std::string& command) {
  std::istringstream words(command);
  std::string verb;
  words >> verb;
  if (verb == "set") return Set(core, words);
  if (verb == "fail") return FailCall(core, words);
  if (verb == "hang") return HangCall(core, words);
  if (verb == "fail-task") return FailTask(core, words);
  if (verb == "hang-task") return HangTask(core, words);
  if (verb == "corrupt-task") return CorruptTask(core, words);
  if (verb == "let-go") return LetGo(core);
  if (verb == "violations") return Lines(core.report.lines());
  if (verb == "calls") return Calls(core, words);
  if (verb == "counts") return Counts(core);
  if (verb == "copies") return Copies(core, words);
  if (verb == "tasks") return std::to_string(core.faults.tasks());
  if (verb == "live") return Lines(core.Live());
  if (verb == "reset") return Reset(core);
  if (verb == "wipe") return Wipe(core, lock);
  return Error("there is no command " + verb);
}

void RunCommandsOf(Core& core, Lock& lock, const std::string& variable) {
  const char* const text = std::getenv(variable.c_str());
  std::istringstream commands(text == nullptr ? "" : text);
  for (std::string command; std::getline(commands, command, ';');) {
    const std::string answer = RunCommand(core, lock, command);
    if (!answer.starts_with("error: ")) continue;
    std::fprintf(stderr, "%s: %s\n", variable.c_str(), answer.c_str());
    std::abort();
  }
}

}  // namespace pipeserve::ascend::sim

extern "C" __attribute__((visibility("default"))) const char* PipeserveSimControl(
    const char* command) {
  using pipeserve::ascend::sim::Core;
  thread_local std::string answer;
  Core& core = Core::Get();
  pipeserve::ascend::sim::Lock lock(core.mutex);
  answer = pipeserve::ascend::sim::RunCommand(core, lock, command);
  return answer.c_str();
}
