#include "scheduler/admission.h"

#include <algorithm>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

constexpr int kMemory = 8;  // Answers that the average remembers, about.
constexpr std::chrono::seconds kShortest{1};
constexpr std::chrono::seconds kLongest{60};

}  // namespace

void Admission::Ticket::ReturnPlace() {
  if (std::exchange(has_place_, false)) admission_->ReturnPlace();
}

void Admission::Ticket::Return() {
  ReturnPlace();
  if (const size_t bytes = std::exchange(bytes_, 0); bytes > 0) admission_->ReturnBytes(bytes);
}

void Admission::set_max_requests(size_t limit) {
  MutexLock lock(mutex_);
  limits_.max_requests = limit;
}

Result<Admission::Ticket> Admission::Enter(size_t bytes) {
  Ticket ticket;
  MutexLock lock(mutex_);
  if (requests_ >= limits_.max_requests) {
    return ResourceExhausted(
        StrCat("Serving Error: enqueued requests count exceeds the limit ", limits_.max_requests));
  }
  if (bytes > limits_.max_bytes || bytes_ > limits_.max_bytes - bytes) {
    return ResourceExhausted(StrCat("Serving Error: enqueued bytes exceed the limit ",
                                    limits_.max_bytes, ": ", bytes_, " are in, the request has ",
                                    bytes));
  }
  if (requests_ == 0) last_ = clock_.Now();
  ++requests_;
  bytes_ += bytes;
  ticket.admission_ = this;
  ticket.bytes_ = bytes;
  ticket.has_place_ = true;
  return ticket;
}

void Admission::ReturnPlace() {
  MutexLock lock(mutex_);
  --requests_;
  const TimePoint now = clock_.Now();
  interval_ += (now - last_ - interval_) / kMemory;
  last_ = now;
}

void Admission::ReturnBytes(size_t bytes) {
  MutexLock lock(mutex_);
  bytes_ -= bytes;
}

std::chrono::seconds Admission::RetryAfter() const {
  MutexLock lock(mutex_);
  const double seconds = std::chrono::duration<double>(interval_).count() * requests_;
  if (seconds >= kLongest.count()) return kLongest;
  return std::max(kShortest,
                  std::chrono::ceil<std::chrono::seconds>(std::chrono::duration<double>(seconds)));
}

AdmissionLimits Admission::limits() const {
  MutexLock lock(mutex_);
  return limits_;
}

size_t Admission::requests() const {
  MutexLock lock(mutex_);
  return requests_;
}

size_t Admission::bytes() const {
  MutexLock lock(mutex_);
  return bytes_;
}

}  // namespace pipeserve
