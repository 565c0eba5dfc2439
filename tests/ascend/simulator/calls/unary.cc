// Operators of one tensor, element by element.
#include <algorithm>

#include "calls.h"
#include "operator.h"

namespace pipeserve::ascend::sim::calls {
namespace {

using Real = double (*)(double value, const ScalarObject* scalar);
using Integer = int64_t (*)(int64_t value, const ScalarObject* scalar);

void Compute(const View& from, const View& to, Real real, Integer integer,
             const ScalarObject* scalar) {
  ForEach(to.dims, {&from, &to}, [&](const int64_t(&offsets)[2]) {
    if (IsReal(from.type)) {
      StoreReal(to.type, to.data + offsets[1],
                real(LoadReal(from.type, from.data + offsets[0]), scalar));
    } else {
      StoreInteger(to.type, to.data + offsets[1],
                   integer(LoadInteger(from.type, from.data + offsets[0]), scalar));
    }
  });
}

AclCode Make(Call& call, const Tensor* self, Tensor* out, Real real, Integer integer,
             std::shared_ptr<ScalarObject> scalar, uint64_t* size, OpExecutor** executor) {
  std::vector<std::shared_ptr<TensorObject>> tensors;
  if (!FindTensors(call, {self, out}, &tensors)) return call.bad_handle();
  const View &from = tensors[0]->view, &to = tensors[1]->view;
  if (from.dims != to.dims || from.type != to.type) {
    return Refuse(call, Text(from.Text(), " into ", to.Text()));
  }
  Plan plan;
  plan.inputs = {tensors[0]};
  plan.output = tensors[1];
  plan.compute = [=] { Compute(from, to, real, integer, scalar.get()); };
  return Finish(call, std::move(plan), size, executor);
}

// Without the overflow that signed numbers must not have.
int64_t Wrapped(uint64_t value) { return static_cast<int64_t>(value); }

}  // namespace

AclCode aclnnNegGetWorkspaceSize(Call& call, const Tensor* self, Tensor* out, uint64_t* size,
                                 OpExecutor** executor) {
  return Make(
      call, self, out, [](double value, const ScalarObject*) { return -value; },
      [](int64_t value, const ScalarObject*) { return Wrapped(-static_cast<uint64_t>(value)); },
      nullptr, size, executor);
}

AclCode aclnnNeg(Call& call, void* workspace, uint64_t size, OpExecutor* executor, Stream* stream) {
  return Launch(call, workspace, size, executor, stream);
}

AclCode aclnnReluGetWorkspaceSize(Call& call, const Tensor* self, Tensor* out, uint64_t* size,
                                  OpExecutor** executor) {
  return Make(
      call, self, out,
      // Not a number stays what it is.
      [](double value, const ScalarObject*) { return value <= 0 ? 0 : value; },
      [](int64_t value, const ScalarObject*) { return std::max<int64_t>(value, 0); }, nullptr, size,
      executor);
}

AclCode aclnnRelu(Call& call, void* workspace, uint64_t size, OpExecutor* executor,
                  Stream* stream) {
  return Launch(call, workspace, size, executor, stream);
}

AclCode aclnnMulsGetWorkspaceSize(Call& call, const Tensor* self, const Scalar* other, Tensor* out,
                                  uint64_t* size, OpExecutor** executor) {
  auto scalar = call.Find<ScalarObject>(other);
  if (scalar == nullptr) return call.bad_handle();
  return Make(
      call, self, out,
      [](double value, const ScalarObject* factor) { return value * factor->real; },
      [](int64_t value, const ScalarObject* factor) {
        return Wrapped(static_cast<uint64_t>(value) * static_cast<uint64_t>(factor->integer));
      },
      std::move(scalar), size, executor);
}

AclCode aclnnMuls(Call& call, void* workspace, uint64_t size, OpExecutor* executor,
                  Stream* stream) {
  return Launch(call, workspace, size, executor, stream);
}

}  // namespace pipeserve::ascend::sim::calls
