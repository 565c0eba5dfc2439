// Runs the tests of one layer. A test that hangs is ended with the stacks of its threads:
// addresses, which `addr2line -Cfpie PROGRAM ADDRESS...` turns into names.
#include <execinfo.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <semaphore.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <ctime>

namespace {

// Below the limit that ctest has for a test, which says nothing but the test's name.
constexpr unsigned kLimitSeconds = 120;

// All that follows runs in signal handlers: no allocation, no lock.
sem_t printed;

void Print(const char* text) {
  if (write(STDERR_FILENO, text, std::strlen(text)) < 0) std::abort();
}

void PrintStack(int) {
  std::array<void*, 64> frames;
  const int count = backtrace(frames.data(), static_cast<int>(frames.size()));
  Print("--- a thread is at\n");
  backtrace_symbols_fd(frames.data(), count, STDERR_FILENO);
  sem_post(&printed);
}

void AwaitStack() {
  timespec until{};
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 2;
  while (sem_timedwait(&printed, &until) != 0) {
    if (errno != EINTR) return Print("--- a thread does not answer\n");
  }
}

// Threads are numbered close behind their process.
void PrintAllStacks(int) {
  constexpr pid_t kSearched = 5'000;
  Print("The test hangs.\n");
  PrintStack(0);
  AwaitStack();
  const pid_t process = getpid(), self = gettid();
  for (pid_t thread = process; thread < process + kSearched; ++thread) {
    if (thread == self || syscall(SYS_tgkill, process, thread, SIGUSR2) != 0) continue;
    AwaitStack();
  }
  std::abort();
}

class HangWatch final : public testing::EmptyTestEventListener {
 public:
  HangWatch() {
    std::array<void*, 1> frame;
    backtrace(frame.data(), 1);  // Loads the unwinder, which a handler may not.
    sem_init(&printed, 0, 0);
    std::signal(SIGUSR2, PrintStack);
    std::signal(SIGALRM, PrintAllStacks);
  }
  void OnTestStart(const testing::TestInfo&) override { alarm(kLimitSeconds); }
  void OnTestEnd(const testing::TestInfo&) override { alarm(0); }
};

}  // namespace

int main(int argc, char** argv) {
  testing::InitGoogleMock(&argc, argv);
  testing::UnitTest::GetInstance()->listeners().Append(new HangWatch);
  return RUN_ALL_TESTS();
}
