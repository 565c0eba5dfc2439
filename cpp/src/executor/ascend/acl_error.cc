#include "executor/ascend/acl_error.h"

#include <algorithm>
#include <iterator>
#include <span>

#include "base/str_cat.h"

namespace pipeserve::ascend {
namespace {

// Codes from `first` to `last`.
struct Meaning {
  int32_t first, last;
  const char* name;
  StatusCode status;
  Health health;
};

// The first that fits counts. Arguments are checked before they are handed over, so one that the
// runtime refuses is a mistake of this program.
constexpr Meaning kAclMeanings[] = {
    {100000, 100000, "invalid argument", StatusCode::kInternal, Health::kHealthy},
    {107000, 107000, "invalid argument", StatusCode::kInternal, Health::kHealthy},
    {161001, 161002, "invalid argument", StatusCode::kInternal, Health::kHealthy},
    {100001, 100001, "not initialised", StatusCode::kInternal, Health::kHealthy},
    {100003, 100003, "invalid model file", StatusCode::kInvalidArgument, Health::kHealthy},
    {100011, 100011, "invalid model id", StatusCode::kInvalidArgument, Health::kHealthy},
    {145000, 145099, "invalid model", StatusCode::kInvalidArgument, Health::kHealthy},
    {107001, 107001, "no such device", StatusCode::kFailedPrecondition, Health::kHealthy},
    {207004, 207004, "no device", StatusCode::kFailedPrecondition, Health::kHealthy},
    {107002, 107002, "no context", StatusCode::kInternal, Health::kHealthy},
    {107003, 107003, "another context's handle", StatusCode::kInternal, Health::kHealthy},
    {107017, 107017, "invalid handle", StatusCode::kInternal, Health::kHealthy},
    {200000, 200000, "out of memory", StatusCode::kResourceExhausted, Health::kHealthy},
    {207001, 207001, "out of memory", StatusCode::kResourceExhausted, Health::kHealthy},
    {207018, 207018, "out of memory", StatusCode::kResourceExhausted, Health::kHealthy},
    {207005, 207008, "out of streams or events", StatusCode::kResourceExhausted, Health::kHealthy},
    {200001, 200001, "not supported", StatusCode::kUnimplemented, Health::kHealthy},
    {207000, 207000, "not supported", StatusCode::kUnimplemented, Health::kHealthy},
    {107019, 107020, "time-out", StatusCode::kDeadlineExceeded, Health::kSuspect},
    {507046, 507047, "time-out", StatusCode::kDeadlineExceeded, Health::kSuspect},
    {107022, 107023, "aborted after another failure", StatusCode::kUnavailable, Health::kDead},
    {507010, 507018, "device fault", StatusCode::kUnavailable, Health::kDead},
    {507033, 507036, "device fault", StatusCode::kUnavailable, Health::kDead},
    {507053, 507057, "device fault", StatusCode::kUnavailable, Health::kDead},
    {507899, 507901, "driver fault", StatusCode::kUnavailable, Health::kDead},
    {561003, 561003, "kernel package missing", StatusCode::kFailedPrecondition, Health::kHealthy},
    {561103, 561112, "kernel package missing, or CANN and driver do not match",
     StatusCode::kFailedPrecondition, Health::kHealthy},
};
constexpr Meaning kUnknownAcl = {0, 0, "internal", StatusCode::kInternal, Health::kSuspect};

// After any failure of HCCL the communicator is finished; that is its owner's affair.
constexpr Meaning kHcclMeanings[] = {
    {1, 2, "invalid parameter", StatusCode::kInvalidArgument, Health::kHealthy},
    {3, 3, "out of memory", StatusCode::kResourceExhausted, Health::kHealthy},
    {24, 24, "out of memory", StatusCode::kResourceExhausted, Health::kHealthy},
    {5, 5, "not supported", StatusCode::kUnimplemented, Health::kHealthy},
    {6, 6, "not found", StatusCode::kInvalidArgument, Health::kHealthy},
    {10, 10, "cannot open a file", StatusCode::kInvalidArgument, Health::kHealthy},
    {9, 9, "time-out", StatusCode::kDeadlineExceeded, Health::kSuspect},
    {11, 14, "no connection", StatusCode::kUnavailable, Health::kHealthy},
    {19, 19, "no connection", StatusCode::kUnavailable, Health::kHealthy},
    {21, 22, "a peer failed", StatusCode::kUnavailable, Health::kDead},
};
constexpr Meaning kUnknownHccl = {0, 0, "internal", StatusCode::kInternal, Health::kSuspect};

const Meaning& Find(std::span<const Meaning> meanings, const Meaning& unknown, int32_t code) {
  const auto found = std::find_if(meanings.begin(), meanings.end(), [code](const Meaning& each) {
    return each.first <= code && code <= each.last;
  });
  return found == meanings.end() ? unknown : *found;
}

const Meaning& Of(abi::AclCode code) {
  return Find(kAclMeanings, kUnknownAcl, static_cast<int32_t>(code));
}
const Meaning& Of(abi::HcclCode code) {
  return Find(kHcclMeanings, kUnknownHccl, static_cast<int32_t>(code));
}

template <typename Code>
Status ErrorOf(std::string_view function, Code code, const char* recent) {
  const Meaning& meaning = Of(code);
  std::string text =
      StrCat(function, " failed with ", static_cast<int32_t>(code), " (", meaning.name, ")");
  if (recent != nullptr && *recent != '\0') text += StrCat(": ", recent);
  return Status(meaning.status, std::move(text));
}

}  // namespace

Health HealthAfter(abi::AclCode code) {
  return code == abi::AclCode::kSuccess ? Health::kHealthy : Of(code).health;
}
Health HealthAfter(abi::HcclCode code) {
  return code == abi::HcclCode::kSuccess ? Health::kHealthy : Of(code).health;
}

bool IsTimeOut(abi::AclCode code) {
  return code != abi::AclCode::kSuccess && Of(code).status == StatusCode::kDeadlineExceeded;
}

Status AclError(std::string_view function, abi::AclCode code, const char* recent) {
  return ErrorOf(function, code, recent);
}
Status HcclError(std::string_view function, abi::HcclCode code, const char* recent) {
  return ErrorOf(function, code, recent);
}

}  // namespace pipeserve::ascend
