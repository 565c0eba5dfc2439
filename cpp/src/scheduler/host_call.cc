#include "scheduler/host_call.h"

#include <exception>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

// Host functions are third-party code; this is where their exceptions end.
std::vector<Result<Instance>> CallCatching(HostFunction& function,
                                           std::span<const Instance> instances) {
  Status thrown;
  try {
    return function.Call(instances);
  } catch (const std::exception& error) {
    thrown = Internal(error.what());
  } catch (...) {
    thrown = Internal(StrCat(function.name(), " threw what is no std::exception"));
  }
  return std::vector<Result<Instance>>(instances.size(), thrown);
}

Status CheckValueCount(const HostFunction& function, const Result<Instance>& result,
                       size_t wanted) {
  if (!result.ok()) return result.status();
  if (result->size() == wanted) return OkStatus();
  return Internal(
      StrCat(function.name(), " returned ", result->size(), " values, ", wanted, " are declared"));
}

}  // namespace

std::vector<Result<Instance>> CallHost(HostFunction& function, std::span<const Instance> instances,
                                       size_t output_count, std::string_view failure) {
  std::vector<Result<Instance>> results = CallCatching(function, instances);
  const size_t came = results.size();
  if (came != instances.size()) {
    const Status missing = Internal(
        StrCat(function.name(), " gave ", came, " results for ", instances.size(), " instances"));
    results.resize(instances.size(), Result<Instance>(missing));
  }
  for (Result<Instance>& result : results) {
    const Status status = CheckValueCount(function, result, output_count);
    if (!status.ok()) result = status.WithContext(failure);
  }
  return results;
}

Status CheckInputCount(const std::string& method, size_t wanted, const Instance& instance) {
  if (instance.size() == wanted) return OkStatus();
  return InvalidArgument(StrCat("Input count ", instance.size(), " does not equal to input count ",
                                wanted, " defined in method ", method));
}

}  // namespace pipeserve
