// The functions of the interface by number and by name.
#pragma once

#include <optional>
#include <string_view>

#include "executor/ascend/abi.h"

namespace pipeserve::ascend::sim {

enum class Function : int {
#define PIPESERVE_NUMBER(name, since, result, parameters) name,
  PIPESERVE_ASCEND_FUNCTIONS(PIPESERVE_NUMBER)
#undef PIPESERVE_NUMBER
      kCount,
};
constexpr int kFunctionCount = static_cast<int>(Function::kCount);

const char* NameOf(Function function);
std::optional<Function> FunctionByName(std::string_view name);

// May be called before aclInit.
bool IsFree(Function function);
// Needs a current context on the calling thread.
bool NeedsContext(Function function);
// Gives something back. Where one of these is told to fail, it fails after it has done its work.
bool GivesBack(Function function);
// Phase 2 of an operator, or a collective: where one of these is told to fail, what it was called
// with is used up all the same.
bool IsLaunch(Function function);

}  // namespace pipeserve::ascend::sim
