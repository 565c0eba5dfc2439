// The functions as the libraries export them.
#include "calls.h"

namespace pipeserve::ascend::sim {
namespace {

template <Function kFunction, auto kCall>
struct Entry;

template <Function kFunction, typename Result, typename... Parameters,
          Result (*kCall)(Call&, Parameters...)>
struct Entry<kFunction, kCall> {
  static Result Run(Parameters... parameters) {
    Call call(kFunction);
    if (const std::optional<Failure> refused = call.Begin()) return *refused;
    const Result result = kCall(call, parameters...);
    if (const std::optional<Failure> failure = call.End()) return *failure;
    return result;
  }
};

}  // namespace
}  // namespace pipeserve::ascend::sim

// An initialiser of another type than the interface's does not compile.
extern "C" __attribute__((visibility("default")))
const pipeserve::ascend::abi::Functions PipeserveSimFunctions = {
#define PIPESERVE_ENTRY(name, since, result, parameters)                         \
  .name = &pipeserve::ascend::sim::Entry<pipeserve::ascend::sim::Function::name, \
                                         &pipeserve::ascend::sim::calls::name>::Run,
    PIPESERVE_ASCEND_FUNCTIONS(PIPESERVE_ENTRY)
#undef PIPESERVE_ENTRY
};
