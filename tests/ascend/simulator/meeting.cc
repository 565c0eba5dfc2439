#include "meeting.h"

#include <fcntl.h>
#include <linux/futex.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>

namespace pipeserve::ascend::sim {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::chrono::milliseconds kLook(20);  // How often a waiting rank looks after the others.

static_assert(sizeof(std::atomic<uint32_t>) == sizeof(uint32_t));

// Until `word` is not `value` any more, at most as long as a look; may return early.
void WaitWhile(std::atomic<uint32_t>& word, uint32_t value) {
  const timespec limit = {0, std::chrono::nanoseconds(kLook).count()};
  syscall(SYS_futex, &word, FUTEX_WAIT, value, &limit, nullptr, 0);
}

void WakeAll(std::atomic<uint32_t>& word) {
  syscall(SYS_futex, &word, FUTEX_WAKE, INT32_MAX, nullptr, nullptr, 0);
}

[[noreturn]] void Die(const std::string& what) {
  std::perror(what.c_str());
  std::abort();
}

}  // namespace

struct Meeting::Shared {
  uint32_t ranks;  // This and what follows change under the file's lock until all have come.
  uint32_t come;
  uint32_t is_here[kMostRanks];
  std::atomic<uint32_t> complete;
  std::atomic<uint32_t> broken;
  std::atomic<uint32_t> arrived;
  std::atomic<uint32_t> round;
  Signature signatures[kMostRanks];
};

namespace {
constexpr size_t kFirstSlot = size_t{16} << 10;
size_t SizeFor(uint32_t ranks) { return kFirstSlot + ranks * Meeting::kSlot; }
}  // namespace

const char* TextOf(Met met) {
  switch (met) {
    case Met::kAll:
      return "all ranks came";
    case Met::kTimeout:
      return "some rank did not come in time";
    case Met::kGone:
      return "a rank is gone";
    case Met::kFailed:
      return "another rank gave up";
    case Met::kStopped:
      return "the stream was destroyed";
    case Met::kMismatch:
      return "the ranks do not agree how many they are";
    case Met::kTaken:
      return "another process has the same rank";
  }
  return "";
}

Meeting::Meeting(std::string name, uint32_t rank, uint32_t ranks)
    : name_(std::move(name)), rank_(rank), ranks_(ranks) {
  static_assert(sizeof(Shared) <= kFirstSlot);
}

std::unique_ptr<Meeting> Meeting::Join(const std::string& key, uint32_t rank, uint32_t ranks,
                                       std::chrono::milliseconds limit, Met* met) {
  const auto until = Clock::now() + limit;
  const std::string name = "/ascend_sim_" + std::to_string(std::hash<std::string>()(key));
  std::unique_ptr<Meeting> meeting(new Meeting(name, rank, ranks));
  bool taken = false;
  do {
    const Entry entry = meeting->Enter();
    taken = taken || entry == Entry::kTaken;
    *met = entry == Entry::kMismatch ? Met::kMismatch : Met::kTimeout;
    if (entry == Entry::kMismatch) return nullptr;
    if (entry == Entry::kIn) *met = meeting->AwaitAll(until);
    if (*met == Met::kAll) return meeting;
    meeting->Close();
    std::atomic<uint32_t> nothing = 0;
    if (entry == Entry::kTaken) WaitWhile(nothing, 0);  // The other's process may be ending.
  } while (Clock::now() < until);
  if (taken) *met = Met::kTaken;  // Else a time-out would hide why some rank is missing.
  return nullptr;
}

// Opens the memory of that name, or makes it, and takes this rank's place in it. The lock of the
// file keeps the others out meanwhile.
Meeting::Entry Meeting::Enter() {
  file_ = shm_open(name_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (file_ < 0 || flock(file_, LOCK_EX) != 0) Die("shared memory " + name_);
  struct stat status = {};
  if (fstat(file_, &status) != 0) Die("shared memory " + name_);
  Entry entry = Entry::kAgain;
  if (status.st_nlink > 0) {  // Nobody has taken the name away since.
    if (status.st_size == 0 && ftruncate(file_, static_cast<off_t>(SizeFor(ranks_))) != 0) {
      Die("shared memory " + name_);
    }
    void* const memory =
        mmap(nullptr, SizeFor(ranks_), PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
    if (memory == MAP_FAILED) Die("shared memory " + name_);
    shared_ = static_cast<Shared*>(memory);
    entry = TakePlace();
  }
  flock(file_, LOCK_UN);
  if (entry != Entry::kIn) Close();
  return entry;
}

Meeting::Entry Meeting::TakePlace() {
  if (shared_->ranks == 0) shared_->ranks = ranks_;
  if (shared_->broken != 0 || SomeoneIsGone()) {
    TakeNameAway();  // A meeting of the past.
    return Entry::kAgain;
  }
  if (shared_->ranks != ranks_) return Entry::kMismatch;
  struct flock place = {};
  place.l_type = F_WRLCK;
  place.l_whence = SEEK_SET;
  place.l_start = rank_;
  place.l_len = 1;
  // Held until the process ends, however it ends.
  if (fcntl(file_, F_OFD_SETLK, &place) != 0) return Entry::kTaken;
  shared_->is_here[rank_] = 1;
  is_in_ = true;
  if (++shared_->come == ranks_) {
    TakeNameAway();
    shared_->complete = 1;
    WakeAll(shared_->complete);
  }
  return Entry::kIn;
}

bool Meeting::SomeoneIsGone() const {
  for (uint32_t rank = 0; rank < shared_->ranks && rank < kMostRanks; ++rank) {
    if (shared_->is_here[rank] == 0) continue;
    struct flock place = {};
    place.l_type = F_WRLCK;
    place.l_whence = SEEK_SET;
    place.l_start = rank;
    place.l_len = 1;
    if (fcntl(file_, F_OFD_GETLK, &place) != 0) Die("shared memory " + name_);
    const bool own = rank == rank_ && is_in_;
    if (place.l_type == F_UNLCK && !own) return true;
  }
  return false;
}

Met Meeting::AwaitAll(Clock::time_point until) {
  while (shared_->complete == 0) {
    Met met = Met::kAll;
    if (shared_->broken != 0) met = Met::kFailed;
    if (SomeoneIsGone()) met = Met::kGone;
    if (Clock::now() >= until) met = Met::kTimeout;
    if (met != Met::kAll) {
      flock(file_, LOCK_EX);
      const bool complete = shared_->complete != 0;
      if (!complete) TakeNameAway();
      flock(file_, LOCK_UN);
      if (complete) return Met::kAll;
      BreakUp();
      return met;
    }
    WaitWhile(shared_->complete, 0);
  }
  return Met::kAll;
}

Met Meeting::Meet(std::chrono::milliseconds limit, const std::function<bool()>& stop) {
  const auto until = Clock::now() + limit;
  const uint32_t round = shared_->round;
  if (++shared_->arrived == ranks_) {
    shared_->arrived = 0;
    ++shared_->round;
    WakeAll(shared_->round);
    return Met::kAll;
  }
  while (shared_->round == round) {
    Met met = Met::kAll;
    if (Clock::now() >= until) met = Met::kTimeout;
    if (SomeoneIsGone()) met = Met::kGone;
    if (shared_->broken != 0) met = Met::kFailed;
    if (stop()) met = Met::kStopped;
    if (met != Met::kAll) {
      if (shared_->round != round) return Met::kAll;  // It came and has gone on since.
      BreakUp();
      return met;
    }
    WaitWhile(shared_->round, round);
  }
  return Met::kAll;
}

// Unless another took it away, and it is a later meeting's now. With the file's lock.
void Meeting::TakeNameAway() const {
  struct stat status = {};
  if (fstat(file_, &status) != 0) Die("shared memory " + name_);
  if (status.st_nlink > 0) shm_unlink(name_.c_str());
}

void Meeting::BreakUp() {
  shared_->broken = 1;
  WakeAll(shared_->round);
  WakeAll(shared_->complete);
}

Signature& Meeting::signature(uint32_t rank) const { return shared_->signatures[rank]; }

std::byte* Meeting::slot(uint32_t rank) const {
  return reinterpret_cast<std::byte*>(shared_) + kFirstSlot + rank * kSlot;
}

void Meeting::Close() {
  if (shared_ != nullptr) munmap(shared_, SizeFor(ranks_));
  if (file_ >= 0) close(file_);
  shared_ = nullptr;
  file_ = -1;
  is_in_ = false;
}

Meeting::~Meeting() { Close(); }

}  // namespace pipeserve::ascend::sim
