// What the simulator does in each function of the interface. The lock is held, and what is common
// to all functions is checked; see Call.
#pragma once

#include "call.h"

namespace pipeserve::ascend::sim {

template <typename Pointer>
struct CallTypeOf;
template <typename Result, typename... Parameters>
struct CallTypeOf<Result (*)(Parameters...)> {
  using Type = Result(Call& call, Parameters...);
};

namespace calls {

using namespace abi;  // NOLINT: the names of the interface.

#define PIPESERVE_CALL(name, since, result, parameters) \
  CallTypeOf<decltype(abi::Functions::name)>::Type name;
PIPESERVE_ASCEND_FUNCTIONS(PIPESERVE_CALL)
#undef PIPESERVE_CALL

}  // namespace calls
}  // namespace pipeserve::ascend::sim
