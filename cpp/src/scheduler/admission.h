// How many requests, and how many bytes of their tensors, a server takes in.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <utility>

#include "base/clock.h"
#include "base/mutex.h"
#include "pipeserve/status.h"

namespace pipeserve {

struct AdmissionLimits {
  size_t max_requests = 10'000;
  size_t max_bytes = size_t{1} << 30;
};

// Refuses what does not fit at once, instead of letting it wait for what will be too late.
// Thread-safe.
class Admission {
 public:
  // What an admitted request takes: its place until it is answered, its bytes until nobody works on
  // them any more. Its end gives both back. The admission outlives it.
  class Ticket {
   public:
    Ticket() = default;  // Nothing.
    Ticket(Ticket&& other) noexcept { *this = std::move(other); }
    Ticket& operator=(Ticket&& other) noexcept {
      std::swap(admission_, other.admission_);
      std::swap(bytes_, other.bytes_);
      std::swap(has_place_, other.has_place_);
      return *this;
    }
    ~Ticket() { Return(); }

    void ReturnPlace();
    void Return();

   private:
    friend class Admission;
    Admission* admission_ = nullptr;
    size_t bytes_ = 0;
    bool has_place_ = false;
  };

  // `clock` outlives this.
  explicit Admission(const AdmissionLimits& limits, const Clock& clock = Clock::System())
      : clock_(clock), limits_(limits) {}

  void set_max_requests(size_t limit) EXCLUDES(mutex_);

  // Takes in a request with `bytes` of inputs. Errors: kResourceExhausted ("Serving Error: enqueued
  // requests count exceeds the limit 100", "... enqueued bytes exceed ...").
  Result<Ticket> Enter(size_t bytes) EXCLUDES(mutex_);

  // How long the requests that are in now will take, as fast as the last ones were answered: when
  // one that was refused may try again. 1 to 60 s.
  std::chrono::seconds RetryAfter() const EXCLUDES(mutex_);

  AdmissionLimits limits() const EXCLUDES(mutex_);
  size_t requests() const EXCLUDES(mutex_);
  size_t bytes() const EXCLUDES(mutex_);

 private:
  void ReturnPlace() EXCLUDES(mutex_);
  void ReturnBytes(size_t bytes) EXCLUDES(mutex_);

  const Clock& clock_;
  mutable Mutex mutex_;
  AdmissionLimits limits_ GUARDED_BY(mutex_);
  size_t requests_ GUARDED_BY(mutex_) = 0;
  size_t bytes_ GUARDED_BY(mutex_) = 0;
  // Between two answers while there is work: an average in which the last ones count most.
  Duration interval_ GUARDED_BY(mutex_) = Duration::zero();
  TimePoint last_ GUARDED_BY(mutex_);  // When one was answered, or work began.
};

}  // namespace pipeserve
