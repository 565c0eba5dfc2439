#include "functions.h"

namespace pipeserve::ascend::sim {
namespace {

constexpr std::string_view kNames[] = {
#define PIPESERVE_NAME(name, since, result, parameters) #name,
    PIPESERVE_ASCEND_FUNCTIONS(PIPESERVE_NAME)
#undef PIPESERVE_NAME
};

std::string_view Name(Function function) { return kNames[static_cast<int>(function)]; }

bool Contains(Function function, std::string_view part) {
  return Name(function).find(part) != std::string_view::npos;
}

}  // namespace

const char* NameOf(Function function) { return Name(function).data(); }

std::optional<Function> FunctionByName(std::string_view name) {
  for (int i = 0; i < kFunctionCount; ++i) {
    if (kNames[i] == name) return static_cast<Function>(i);
  }
  return std::nullopt;
}

bool IsFree(Function function) {
  switch (function) {
    case Function::aclInit:
    case Function::aclFinalize:
    case Function::aclrtGetVersion:
    case Function::aclGetRecentErrMsg:
    case Function::aclsysGetVersionNum:
    case Function::HcclGetErrorString:
      return true;
    default:
      return false;
  }
}

bool NeedsContext(Function function) {
  if (IsFree(function)) return false;
  switch (function) {
    case Function::aclrtGetSocName:
    case Function::aclrtGetDeviceCount:
    case Function::aclrtSetDevice:
    case Function::aclrtResetDevice:
    case Function::aclrtCreateContext:
    case Function::aclrtDestroyContext:
    case Function::aclrtSetCurrentContext:
      return false;
    case Function::aclmdlLoadFromFile:
    case Function::aclmdlUnload:
    case Function::aclmdlExecuteAsync:
      return true;
    default:
      break;
  }
  // What only describes something, on the host: tensors, scalars, datasets.
  const std::string_view name = Name(function);
  return name.starts_with("aclrt") || name.starts_with("aclnn") || name.starts_with("Hccl");
}

bool GivesBack(Function function) {
  return Contains(function, "Destroy") || Contains(function, "Free") ||
         Contains(function, "Unload") || function == Function::aclrtResetDevice ||
         function == Function::aclFinalize;
}

bool IsLaunch(Function function) {
  const std::string_view name = Name(function);
  if (function == Function::HcclAllReduce || function == Function::HcclAllGather) return true;
  return name.starts_with("aclnn") && !name.ends_with("GetWorkspaceSize");
}

}  // namespace pipeserve::ascend::sim
