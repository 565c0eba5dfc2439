// Operators of two tensors, element by element, with broadcasting.
#include "calls.h"
#include "operator.h"

namespace pipeserve::ascend::sim::calls {
namespace {

using Real = double (*)(double a, double b);
using Integer = uint64_t (*)(uint64_t a, uint64_t b);  // Unsigned, so that overflow wraps.

struct Arguments {
  View a, b, out;
  Real real;
  Integer integer;
  std::shared_ptr<ScalarObject> alpha;  // A factor of b; null for 1.
};

void Compute(const Arguments& arguments) {
  const View &a = arguments.a, &b = arguments.b, &out = arguments.out;
  const ScalarObject* const alpha = arguments.alpha.get();
  ForEach(out.dims, {&a, &b, &out}, [&](const int64_t(&offsets)[3]) {
    std::byte* const to = out.data + offsets[2];
    if (IsReal(a.type)) {
      const double factor = alpha == nullptr ? 1 : alpha->real;
      StoreReal(out.type, to,
                arguments.real(LoadReal(a.type, a.data + offsets[0]),
                               factor * LoadReal(b.type, b.data + offsets[1])));
    } else {
      const uint64_t factor = alpha == nullptr ? 1 : static_cast<uint64_t>(alpha->integer);
      const auto left = static_cast<uint64_t>(LoadInteger(a.type, a.data + offsets[0]));
      const auto right = static_cast<uint64_t>(LoadInteger(b.type, b.data + offsets[1]));
      StoreInteger(out.type, to, static_cast<int64_t>(arguments.integer(left, factor * right)));
    }
  });
}

AclCode Make(Call& call, const Tensor* self, const Tensor* other, Tensor* out, Real real,
             Integer integer, std::shared_ptr<ScalarObject> alpha, uint64_t* size,
             OpExecutor** executor) {
  std::vector<std::shared_ptr<TensorObject>> tensors;
  if (!FindTensors(call, {self, other, out}, &tensors)) return call.bad_handle();
  const View &a = tensors[0]->view, &b = tensors[1]->view, &c = tensors[2]->view;
  Arguments arguments = {a.BroadcastTo(c.dims), b.BroadcastTo(c.dims), c, real, integer,
                         std::move(alpha)};
  std::vector<int64_t> expected(std::max(a.dims.size(), b.dims.size()), 1);
  for (const View* view : {&a, &b}) {
    const size_t missing = expected.size() - view->dims.size();
    for (size_t i = missing; i < expected.size(); ++i) {
      if (view->dims[i - missing] != 1) expected[i] = view->dims[i - missing];
    }
  }
  if (a.type != b.type || a.type != c.type || expected != c.dims || arguments.a.dims != c.dims ||
      arguments.b.dims != c.dims) {
    return Refuse(call, Text(a.Text(), " and ", b.Text(), " into ", c.Text()));
  }
  Plan plan;
  plan.inputs = {tensors[0], tensors[1]};
  plan.output = tensors[2];
  plan.compute = [arguments = std::move(arguments)] { Compute(arguments); };
  return Finish(call, std::move(plan), size, executor);
}

}  // namespace

AclCode aclnnAddGetWorkspaceSize(Call& call, const Tensor* self, const Tensor* other,
                                 const Scalar* alpha, Tensor* out, uint64_t* size,
                                 OpExecutor** executor) {
  auto factor = call.Find<ScalarObject>(alpha);
  if (factor == nullptr) return call.bad_handle();
  return Make(
      call, self, other, out, [](double a, double b) { return a + b; },
      [](uint64_t a, uint64_t b) { return a + b; }, std::move(factor), size, executor);
}

AclCode aclnnAdd(Call& call, void* workspace, uint64_t size, OpExecutor* executor, Stream* stream) {
  return Launch(call, workspace, size, executor, stream);
}

AclCode aclnnSubGetWorkspaceSize(Call& call, const Tensor* self, const Tensor* other,
                                 const Scalar* alpha, Tensor* out, uint64_t* size,
                                 OpExecutor** executor) {
  auto factor = call.Find<ScalarObject>(alpha);
  if (factor == nullptr) return call.bad_handle();
  return Make(
      call, self, other, out, [](double a, double b) { return a - b; },
      [](uint64_t a, uint64_t b) { return a - b; }, std::move(factor), size, executor);
}

AclCode aclnnSub(Call& call, void* workspace, uint64_t size, OpExecutor* executor, Stream* stream) {
  return Launch(call, workspace, size, executor, stream);
}

AclCode aclnnMulGetWorkspaceSize(Call& call, const Tensor* self, const Tensor* other, Tensor* out,
                                 uint64_t* size, OpExecutor** executor) {
  return Make(
      call, self, other, out, [](double a, double b) { return a * b; },
      [](uint64_t a, uint64_t b) { return a * b; }, nullptr, size, executor);
}

AclCode aclnnMul(Call& call, void* workspace, uint64_t size, OpExecutor* executor, Stream* stream) {
  return Launch(call, workspace, size, executor, stream);
}

}  // namespace pipeserve::ascend::sim::calls
