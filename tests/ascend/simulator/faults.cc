#include "faults.h"

namespace pipeserve::ascend::sim {

void Faults::FailCall(std::optional<Function> function, uint64_t nth, int32_t code) {
  call_faults_.push_back({function, nth, code});
}

void Faults::FailTask(uint64_t nth, int32_t code) {
  task_faults_.push_back({std::nullopt, nth, code});
}

void Faults::CorruptTask(Function function, uint64_t nth) {
  result_faults_.push_back({function, nth, 0});
}

void Faults::CancelHangs() {
  const auto hangs = [](const Fault& fault) { return fault.code == kHang; };
  std::erase_if(task_faults_, hangs);
  std::erase_if(call_faults_, hangs);
}

std::optional<int32_t> Faults::NextCall(Function function) {
  ++calls_;
  ++by_function_[static_cast<int>(function)];
  return Next(call_faults_, function);
}

std::optional<int32_t> Faults::NextTask() {
  ++tasks_;
  return Next(task_faults_, std::nullopt);
}

bool Faults::NextResult(const std::string& function) {
  if (result_faults_.empty()) return false;
  const std::optional<Function> known = FunctionByName(function);
  return known.has_value() && Next(result_faults_, known).has_value();
}

std::optional<int32_t> Faults::Next(std::vector<Fault>& faults, std::optional<Function> function) {
  std::optional<int32_t> code;
  for (Fault& fault : faults) {
    if (fault.left == 0 || (fault.function.has_value() && fault.function != function)) continue;
    if (--fault.left == 0) code = fault.code;
  }
  return code;
}

}  // namespace pipeserve::ascend::sim
