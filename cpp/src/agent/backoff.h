// How long to wait before the next attempt: twice as long each time, up to a limit.
#pragma once

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/clock.h"

namespace pipeserve {

class Backoff {
 public:
  Duration Next() { return std::exchange(next_, std::min(next_ * 2, kLast)); }
  void Reset() { next_ = kFirst; }

 private:
  static constexpr Duration kFirst = std::chrono::milliseconds(50);
  static constexpr Duration kLast = std::chrono::seconds(1);
  Duration next_ = kFirst;
};

}  // namespace pipeserve
