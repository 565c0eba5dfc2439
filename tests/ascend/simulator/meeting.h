// Where the ranks of a communicator meet: memory that their processes share.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace pipeserve::ascend::sim {

// What a rank says that it calls.
struct Signature {
  uint64_t sequence;
  uint64_t count;
  int32_t operation;
  int32_t type;
  int32_t reduce;
  int32_t unused = 0;

  bool operator==(const Signature&) const = default;
};

enum class Met {
  kAll,
  kTimeout,   // Some rank did not come.
  kGone,      // A rank's process ended, or left.
  kFailed,    // Another rank gave up.
  kStopped,   // By this process.
  kMismatch,  // The ranks do not agree how many they are.
  kTaken,     // Another process is this rank.
};
const char* TextOf(Met met);

class Meeting {
 public:
  static constexpr uint32_t kMostRanks = 64;
  static constexpr size_t kSlot = size_t{256} << 10;

  // Joins the meeting that all who say `key` come to, and waits until all have come. Null when not;
  // `met` says why. When a rank's process ends before all have come, the others begin anew without
  // the caller's noticing, so that it can come again.
  static std::unique_ptr<Meeting> Join(const std::string& key, uint32_t rank, uint32_t ranks,
                                       std::chrono::milliseconds limit, Met* met);
  ~Meeting();

  // Waits until all ranks have called it. Anything but kAll breaks the meeting up for all ranks.
  // `stop` is asked now and then.
  Met Meet(std::chrono::milliseconds limit, const std::function<bool()>& stop);

  Signature& signature(uint32_t rank) const;
  std::byte* slot(uint32_t rank) const;  // kSlot bytes.
  uint32_t ranks() const { return ranks_; }

 private:
  struct Shared;
  enum class Entry { kIn, kAgain, kTaken, kMismatch };

  Meeting(std::string name, uint32_t rank, uint32_t ranks);
  Entry Enter();
  Entry TakePlace();
  Met AwaitAll(std::chrono::steady_clock::time_point until);
  void TakeNameAway() const;
  void BreakUp();
  // A rank other than this that had come and whose process is not there any more.
  bool SomeoneIsGone() const;
  void Close();

  const std::string name_;
  const uint32_t rank_;
  const uint32_t ranks_;
  bool is_in_ = false;
  int file_ = -1;
  Shared* shared_ = nullptr;
};

}  // namespace pipeserve::ascend::sim
