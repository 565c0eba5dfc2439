// aclnnCast: converts each element.
#include <algorithm>
#include <cmath>

#include "calls.h"
#include "operator.h"

namespace pipeserve::ascend::sim::calls {
namespace {

// What comes of a fraction: no fraction, and the nearest that the type has. The narrower types
// take the lower bits of an int32.
int64_t Truncated(double value, AclDataType type) {
  if (std::isnan(value)) return 0;
  const int bits = type == AclDataType::kInt64 ? 63 : 31;
  const double too_large = std::ldexp(1.0, bits);
  if (value >= too_large) return static_cast<int64_t>((uint64_t{1} << bits) - 1);
  return static_cast<int64_t>(std::max(value, -too_large));
}

void Compute(const View& from, const View& to) {
  ForEach(to.dims, {&from, &to}, [&](const int64_t(&offsets)[2]) {
    const std::byte* const x = from.data + offsets[0];
    std::byte* const y = to.data + offsets[1];
    if (!IsReal(from.type)) {
      StoreInteger(to.type, y, LoadInteger(from.type, x));
    } else if (IsReal(to.type) || to.type == AclDataType::kBool) {
      StoreReal(to.type, y, LoadReal(from.type, x));
    } else {
      StoreInteger(to.type, y, Truncated(LoadReal(from.type, x), to.type));
    }
  });
}

}  // namespace

AclCode aclnnCastGetWorkspaceSize(Call& call, const Tensor* self, AclDataType type, Tensor* out,
                                  uint64_t* size, OpExecutor** executor) {
  std::vector<std::shared_ptr<TensorObject>> tensors;
  if (!FindTensors(call, {self, out}, &tensors)) return call.bad_handle();
  const View &from = tensors[0]->view, &to = tensors[1]->view;
  if (from.dims != to.dims || to.type != type) {
    return Refuse(call, Text(from.Text(), " as ", NameOf(type), " into ", to.Text()));
  }
  Plan plan;
  plan.inputs = {tensors[0]};
  plan.output = tensors[1];
  plan.in_place_allowed = false;
  plan.compute = [from, to] { Compute(from, to); };
  return Finish(call, std::move(plan), size, executor);
}

AclCode aclnnCast(Call& call, void* workspace, uint64_t size, OpExecutor* executor,
                  Stream* stream) {
  return Launch(call, workspace, size, executor, stream);
}

}  // namespace pipeserve::ascend::sim::calls
