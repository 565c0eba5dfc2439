#include "base/clock.h"

#include <algorithm>

namespace pipeserve {
namespace {

class SystemClock : public Clock {
 public:
  TimePoint Now() const override { return std::chrono::steady_clock::now(); }
};

}  // namespace

const Clock& Clock::System() {
  static const SystemClock clock;
  return clock;
}

Duration Deadline::Remaining(const Clock& clock) const {
  if (is_infinite()) return Duration::max();
  return std::max(Duration::zero(), Duration(time_ - clock.Now()));
}

}  // namespace pipeserve
