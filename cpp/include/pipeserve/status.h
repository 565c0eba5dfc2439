// Status and Result<T>: how every function that the outside world can make fail reports it.
//
// Codes are gRPC's, number for number. A message names the thing, what was wanted and what came:
// "matmul.fun1: input x is float32[4,96], graph 0 wants float32[128,96]".
#pragma once

#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <utility>

namespace [[gnu::visibility("default")]] pipeserve {

enum class StatusCode : int {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

// "INVALID_ARGUMENT" and so on; "CODE(77)" for a number that is none of them.
std::string StatusCodeName(StatusCode code);

// Success, or a code with a message. Cheap to move; copying an error copies its message.
class [[nodiscard]] Status {
 public:
  Status() = default;  // Success.
  Status(StatusCode code, std::string message) : code_(code), message_(std::move(message)) {}

  bool ok() const { return code_ == StatusCode::kOk; }
  StatusCode code() const { return code_; }
  const std::string& message() const { return message_; }

  // "OK", or "INVALID_ARGUMENT: <message>".
  std::string ToString() const;

  // The same error with `context` and ": " before its message. Success stays success.
  Status WithContext(std::string_view context) const;

  friend bool operator==(const Status&, const Status&) = default;

 private:
  StatusCode code_ = StatusCode::kOk;
  std::string message_;
};

std::ostream& operator<<(std::ostream& out, const Status& status);

inline Status OkStatus() { return Status(); }
inline Status Cancelled(std::string m) { return {StatusCode::kCancelled, std::move(m)}; }
inline Status InvalidArgument(std::string m) {
  return {StatusCode::kInvalidArgument, std::move(m)};
}
inline Status DeadlineExceeded(std::string m) {
  return {StatusCode::kDeadlineExceeded, std::move(m)};
}
inline Status NotFound(std::string m) { return {StatusCode::kNotFound, std::move(m)}; }
inline Status AlreadyExists(std::string m) { return {StatusCode::kAlreadyExists, std::move(m)}; }
inline Status PermissionDenied(std::string m) {
  return {StatusCode::kPermissionDenied, std::move(m)};
}
inline Status ResourceExhausted(std::string m) {
  return {StatusCode::kResourceExhausted, std::move(m)};
}
inline Status FailedPrecondition(std::string m) {
  return {StatusCode::kFailedPrecondition, std::move(m)};
}
inline Status Aborted(std::string m) { return {StatusCode::kAborted, std::move(m)}; }
inline Status Unimplemented(std::string m) { return {StatusCode::kUnimplemented, std::move(m)}; }
inline Status Internal(std::string m) { return {StatusCode::kInternal, std::move(m)}; }
inline Status Unavailable(std::string m) { return {StatusCode::kUnavailable, std::move(m)}; }
inline Status DataLoss(std::string m) { return {StatusCode::kDataLoss, std::move(m)}; }

// A value, or the status that says why there is none.
template <typename T>
class [[nodiscard]] Result {
 public:
  using value_type = T;

  Result(T value) : value_(std::move(value)) {}         // NOLINT: implicit by design.
  Result(Status status) : status_(std::move(status)) {  // NOLINT: implicit by design.
    if (status_.ok()) status_ = Internal("Result made from a success status without a value");
  }

  bool ok() const { return value_.has_value(); }
  const Status& status() const { return status_; }

  // The value. Calling one of these on an error is a programming mistake.
  T& value() & { return *value_; }
  const T& value() const& { return *value_; }
  T&& value() && { return *std::move(value_); }
  T& operator*() & { return *value_; }
  const T& operator*() const& { return *value_; }
  T&& operator*() && { return *std::move(value_); }
  T* operator->() { return &*value_; }
  const T* operator->() const { return &*value_; }

 private:
  std::optional<T> value_;
  Status status_;
};

#define PIPESERVE_CONCAT_INNER(a, b) a##b
#define PIPESERVE_CONCAT(a, b) PIPESERVE_CONCAT_INNER(a, b)

// Returns the error of `expression` (a Status) from the enclosing function.
#define PIPESERVE_RETURN_IF_ERROR(expression)            \
  do {                                                   \
    ::pipeserve::Status pipeserve_status = (expression); \
    if (!pipeserve_status.ok()) return pipeserve_status; \
  } while (false)

// PIPESERVE_ASSIGN_OR_RETURN(Plan plan, Plan::Build(spec)); returns the error of a Result<T>.
#define PIPESERVE_ASSIGN_OR_RETURN(declaration, expression)                                   \
  PIPESERVE_ASSIGN_OR_RETURN_IMPL(PIPESERVE_CONCAT(pipeserve_result_, __LINE__), declaration, \
                                  expression)
#define PIPESERVE_ASSIGN_OR_RETURN_IMPL(result, declaration, expression) \
  auto result = (expression);                                            \
  if (!result.ok()) return result.status();                              \
  declaration = *std::move(result)

}  // namespace pipeserve
