// Whether memory grows with calls.
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <memory>
#include <utility>
#include <vector>

#include "base/str_cat.h"
#include "checks.h"
#include "executor/ascend/operators.h"
#include "process.h"

namespace pipeserve::ascend::check {
namespace {

constexpr int64_t kRows = 64, kInner = 96;
// Allocators keep some; what is lost for each of many calls is soon more.
constexpr int64_t kMostGrowth = int64_t{16} << 20;

struct Used {
  int64_t device = 0;
  int64_t process = 0;
};

Result<Used> Measure(Device& device) {
  Used used;
  for (const auto attribute : {abi::MemoryAttribute::kHbm, abi::MemoryAttribute::kDdr}) {
    size_t free = 0, total = 0;
    const Status status = PIPESERVE_ACL(device, aclrtGetMemInfo, attribute, &free, &total);
    if (status.ok()) used.device += static_cast<int64_t>(total) - static_cast<int64_t>(free);
  }
  if (used.device == 0) return Unimplemented("aclrtGetMemInfo tells of no memory");
  int64_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  used.process = resident * sysconf(_SC_PAGESIZE);
  return used;
}

// One call as the backend makes it: in, a few operators, out, wait.
class Caller {
 public:
  static Result<std::unique_ptr<Caller>> Create(Session& session) {
    std::unique_ptr<Caller> caller(new Caller(session));
    PIPESERVE_RETURN_IF_ERROR(caller->Prepare());
    return caller;
  }

  Status Call() {
    Stream& stream = session_.stream();
    const size_t bytes = staging_.size();
    PIPESERVE_RETURN_IF_ERROR(stream.CopyToDevice(x_.data(), staging_.data(), bytes));
    for (const auto& step : steps_) {
      PIPESERVE_RETURN_IF_ERROR(step->Launch(stream, session_.workspace()));
    }
    PIPESERVE_RETURN_IF_ERROR(stream.CopyToHost(back_.data(), z_.data(), bytes));
    return session_.Synchronize();
  }

 private:
  explicit Caller(Session& session) : session_(session) {}

  Status Prepare() {
    const std::vector<float> numbers = RandomFloats(kRows * kInner, 1);
    PIPESERVE_ASSIGN_OR_RETURN(
        staging_, PinnedBlock::Allocate(session_.device(), numbers.size() * sizeof(float)));
    PIPESERVE_ASSIGN_OR_RETURN(back_, PinnedBlock::Allocate(session_.device(), staging_.size()));
    std::copy(numbers.begin(), numbers.end(), reinterpret_cast<float*>(staging_.data()));
    PIPESERVE_ASSIGN_OR_RETURN(x_, session_.Upload(numbers));
    PIPESERVE_ASSIGN_OR_RETURN(y_, session_.Upload(numbers));
    PIPESERVE_ASSIGN_OR_RETURN(z_, session_.Upload(numbers));
    const auto whole = [](const DeviceBlock& block, std::vector<int64_t> dims) {
      return View::Whole(block.data(), DataType::kFloat32, std::move(dims));
    };
    const View x = whole(x_, {kRows, kInner}), y = whole(y_, {kRows, kInner});
    const View z = whole(z_, {kRows, kInner});
    PIPESERVE_RETURN_IF_ERROR(AddStep(MakeNeg(session_.device(), x, y)));
    if (const auto precision = session_.MatMulPrecision(); precision.ok()) {
      PIPESERVE_ASSIGN_OR_RETURN(w_, session_.Upload(RandomFloats(kInner * kInner, 2)));
      return AddStep(MakeMatMul(session_.device(), y, whole(w_, {kInner, kInner}), z, *precision));
    }
    return AddStep(MakeRelu(session_.device(), y, z));
  }

  Status AddStep(StepResult step) {
    if (step.ok()) steps_.push_back(*std::move(step));
    return step.status();
  }

  Session& session_;
  PinnedBlock staging_, back_;
  DeviceBlock x_, w_, y_, z_;
  std::vector<std::unique_ptr<Step>> steps_;
  const Drain drain_{session_};  // Before what it waits for.
};

Status CallOften(Caller& caller, int64_t calls) {
  const int64_t part = std::max<int64_t>(calls / 10, 1);
  for (int64_t i = 1; i <= calls; ++i) {
    PIPESERVE_RETURN_IF_ERROR(caller.Call());
    if (i % part == 0) SayProgress(StrCat(i, " of ", calls, " calls"));
  }
  return OkStatus();
}

Status CheckGrowth(const char* what, int64_t before, int64_t after, Json& found) {
  found[what] = {{"before", before}, {"after", after}, {"growth", after - before}};
  if (after - before <= kMostGrowth) return OkStatus();
  return Internal(
      StrCat(what, " has grown by ", after - before, ", at most ", kMostGrowth, " was expected"));
}

}  // namespace

Status CheckMemory(Session& session, Json& found) {
  constexpr int64_t kWarmUp = 20;
  PIPESERVE_ASSIGN_OR_RETURN(const std::unique_ptr<Caller> caller, Caller::Create(session));
  PIPESERVE_RETURN_IF_ERROR(CallOften(*caller, kWarmUp));
  PIPESERVE_ASSIGN_OR_RETURN(const Used before, Measure(session.device()));
  const int64_t calls = session.options().calls;
  const Stopwatch watch;
  PIPESERVE_RETURN_IF_ERROR(CallOften(*caller, calls));
  found["calls"] = calls;
  found["call_us"] = watch.milliseconds() * 1000 / static_cast<double>(calls);
  PIPESERVE_ASSIGN_OR_RETURN(const Used after, Measure(session.device()));
  const Status device = CheckGrowth("device_bytes", before.device, after.device, found);
  const Status process = CheckGrowth("process_bytes", before.process, after.process, found);
  return device.ok() ? process : device;
}

}  // namespace pipeserve::ascend::check
