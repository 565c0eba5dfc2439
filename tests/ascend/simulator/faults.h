// How often each function was called, and which calls and device tasks are to fail.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "functions.h"

namespace pipeserve::ascend::sim {

constexpr int32_t kUsualCode = -1;  // Whatever is usual for the function.
constexpr int32_t kHang = -2;       // A task or call that never ends.

class Faults {
 public:
  // The `nth` call from now of `function`, or of any, fails with `code`.
  void FailCall(std::optional<Function> function, uint64_t nth, int32_t code);
  // The `nth` device task from now.
  void FailTask(uint64_t nth, int32_t code);
  // The `nth` task from now of `function` leaves a wrong result.
  void CorruptTask(Function function, uint64_t nth);
  // Tasks and calls that were to hang and have not come yet do not.
  void CancelHangs();
  void Clear() { *this = Faults(); }

  // Counts a call; the code that it is to fail with.
  std::optional<int32_t> NextCall(Function function);
  std::optional<int32_t> NextTask();
  // Whether the task of `function` that has run is to leave a wrong result. Counts it.
  bool NextResult(const std::string& function);

  uint64_t calls() const { return calls_; }
  uint64_t tasks() const { return tasks_; }
  uint64_t calls_of(Function function) const { return by_function_[static_cast<int>(function)]; }

 private:
  struct Fault {
    std::optional<Function> function;
    uint64_t left;
    int32_t code;
  };
  static std::optional<int32_t> Next(std::vector<Fault>& faults, std::optional<Function> function);

  std::array<uint64_t, kFunctionCount> by_function_ = {};
  uint64_t calls_ = 0;
  uint64_t tasks_ = 0;
  std::vector<Fault> call_faults_;
  std::vector<Fault> task_faults_;
  std::vector<Fault> result_faults_;
};

}  // namespace pipeserve::ascend::sim
