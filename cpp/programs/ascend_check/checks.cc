#include "checks.h"

#include <algorithm>

namespace pipeserve::ascend::check {
namespace {

// A check that needs no more than a device.
template <Status (*body)(Session&, Json&)>
Status OnDevice(const Options& options, Json& found) {
  PIPESERVE_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session, Session::Open(options));
  const Status status = body(*session, found);
  const Status closed = session->Close();
  return status.ok() ? closed : status;
}

}  // namespace

std::span<const Check> AllChecks() {
  static constexpr Check checks[] = {
      {"libraries", "every function: the file that it is in, or that it is missing", true,
       CheckLibraries},
      {"device", "versions, product, devices, memory", true, OnDevice<CheckDevice>},
      {"operators", "results per precision, also of zeros, NaN and infinities", true,
       CheckOperators},
      {"copies", "1 B to 256 MB there and back, pinned and pageable: bytes, GB/s", false,
       OnDevice<CheckCopies>},
      {"waits", "a wait of 1 ms for long work: its code, and the stream afterwards", false,
       OnDevice<CheckWaits>},
      {"workspaces", "1000 plans of each operator: sizes of workspaces", false,
       OnDevice<CheckWorkspaces>},
      {"repeatable", "whether a plan of each operator can be repeated", false,
       OnDevice<CheckRepeatable>},
      {"views", "strided, transposed, sliced operands: results, and time against whole ones", false,
       OnDevice<CheckViews>},
      {"collectives", "creation, AllReduce in place, order of sums, a rank that is killed", false,
       CheckCollectives},
      {"overlap", "1, 2 and 3 streams with 48 KiB and 64 MiB", false, OnDevice<CheckOverlap>},
      {"launch", "what it costs to launch each operator", false, OnDevice<CheckLaunch>},
      {"memory", "memory of device and process before and after --calls calls", false,
       OnDevice<CheckMemory>},
      {"model", "an .om file: what it takes and gives", false, CheckModel},
  };
  return checks;
}

const Check* FindCheck(std::string_view name) {
  const auto checks = AllChecks();
  const auto found = std::find_if(checks.begin(), checks.end(),
                                  [name](const Check& check) { return name == check.name; });
  return found == checks.end() ? nullptr : &*found;
}

}  // namespace pipeserve::ascend::check
