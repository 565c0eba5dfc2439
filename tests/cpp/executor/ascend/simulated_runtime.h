// Ascend's runtime as the simulator of tests/ascend plays it.
#pragma once

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <string>

#include "base/str_cat.h"
#include "executor/ascend/library.h"

namespace pipeserve::ascend {

// The simulator of this process, clean at the beginning; at the end no rule may have been broken
// and nothing may be left.
class SimulatedRuntime {
 public:
  explicit SimulatedRuntime(const std::string& settings = "") {
    void* const handle = dlopen(PIPESERVE_ASCEND_SIM "/libpipeserve_ascend_sim.so", RTLD_NOW);
    if (handle == nullptr) {
      ADD_FAILURE() << dlerror();
      return;
    }
    control_ = reinterpret_cast<Control>(dlsym(handle, "PipeserveSimControl"));
    Command("wipe");
    Command("reset");
    if (!settings.empty()) Command("set " + settings);
  }
  ~SimulatedRuntime() {
    EXPECT_EQ(Command("violations"), "");
    if (!may_leave_objects_) {
      EXPECT_EQ(Command("live"), "");
    }
    Command("wipe");
    Command("reset");
  }
  SimulatedRuntime(const SimulatedRuntime&) = delete;
  SimulatedRuntime& operator=(const SimulatedRuntime&) = delete;

  // A device that is dead is left as it is.
  void MayLeaveObjects() { may_leave_objects_ = true; }

  // See tests/ascend/simulator/control.h.
  std::string Command(const std::string& command) const {
    const std::string answer = control_(command.c_str());
    EXPECT_FALSE(answer.starts_with("error: ")) << answer;
    return answer;
  }
  // Of one function, or of all.
  int Calls(const std::string& function = "") const {
    return std::stoi(Command(function.empty() ? "calls" : "calls " + function));
  }

  static LibraryOptions Library(const std::string& layout = "lib64") {
    return {.directory = StrCat(PIPESERVE_ASCEND_SIM "/", layout)};
  }

 private:
  using Control = const char* (*)(const char*);
  Control control_ = nullptr;
  bool may_leave_objects_ = false;
};

}  // namespace pipeserve::ascend
