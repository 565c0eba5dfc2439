// pipeserve-agent as a child process.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"

extern char** environ;

namespace pipeserve {

// Owns a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { Close(); }

  int get() const { return fd_; }
  void Close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }

 private:
  int fd_;
};

struct Pipe {
  Descriptor read, write;
};

inline Pipe OpenPipe() {
  std::array<int, 2> fds = {-1, -1};
  EXPECT_EQ(::pipe2(fds.data(), O_CLOEXEC), 0);
  return {Descriptor(fds[0]), Descriptor(fds[1])};
}

// True when `fd` became readable, or its other end was closed, in a time that is enough for all.
inline bool AwaitReadable(int fd) {
  const Deadline deadline = Deadline::After(std::chrono::seconds(30));
  pollfd polled{.fd = fd, .events = POLLIN, .revents = 0};
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline.Remaining());
    const int ready = ::poll(&polled, 1, static_cast<int>(left.count()));
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

// Killed with its owner. The pipes are the launcher's ends of --launcher-fd, --status-fd, --key-fd.
class AgentProcess {
 public:
  // `flags` are those besides the descriptors. `log` is a file to append its standard error to.
  explicit AgentProcess(std::vector<std::string> flags, const std::string& key = "",
                        const std::string& log = "") {
    Pipe launcher = OpenPipe(), status = OpenPipe(), key_pipe = OpenPipe();
    flags.insert(flags.begin(), PIPESERVE_AGENT_PROGRAM);
    flags.insert(flags.end(), {"--launcher-fd", "200", "--status-fd", "201"});
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, launcher.read.get(), 200);
    posix_spawn_file_actions_adddup2(&actions, status.write.get(), 201);
    if (!key.empty()) {
      flags.insert(flags.end(), {"--key-fd", "202"});
      posix_spawn_file_actions_adddup2(&actions, key_pipe.read.get(), 202);
      EXPECT_EQ(::write(key_pipe.write.get(), key.data(), key.size()), std::ssize(key));
    }
    if (!log.empty()) {
      posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log.c_str(),
                                       O_WRONLY | O_CREAT | O_APPEND, 0600);
    }
    std::vector<char*> argv;
    for (std::string& flag : flags) argv.push_back(flag.data());
    argv.push_back(nullptr);
    EXPECT_EQ(::posix_spawn(&pid_, argv[0], &actions, nullptr, argv.data(), environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    exited_ = Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    launcher_ = std::move(launcher.write);
    status_ = std::move(status.read);
  }
  AgentProcess(AgentProcess&&) = delete;
  ~AgentProcess() {
    if (pid_ <= 0) return;
    Signal(SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

  // Whether it has ended; Wait() says how.
  bool HasEnded() const {
    pollfd polled{.fd = exited_.get(), .events = POLLIN, .revents = 0};
    return ::poll(&polled, 1, 0) > 0;
  }

  void Signal(int signal) const { EXPECT_EQ(::kill(pid_, signal), 0); }
  void CloseLauncher() { launcher_.Close(); }

  // Stops the process; all of its threads have stopped when this returns.
  void Freeze() const {
    Signal(SIGSTOP);
    int status = 0;
    EXPECT_EQ(::waitpid(pid_, &status, WUNTRACED), pid_);
    EXPECT_TRUE(WIFSTOPPED(status));
  }

  // The line that says how starting went.
  std::string Status() const {
    std::string line;
    for (char byte = 0; line.empty() || line.back() != '\n'; line += byte) {
      if (!AwaitReadable(status_.get())) return line + " (no answer)";
      if (::read(status_.get(), &byte, 1) <= 0) return line + " (cut off)";
    }
    line.pop_back();
    return line;
  }

  // The exit code; minus the signal that ended it.
  int Wait() {
    EXPECT_TRUE(AwaitReadable(exited_.get())) << "process " << pid_ << " does not end";
    if (testing::Test::HasFailure()) Signal(SIGKILL);
    int status = 0;
    ::waitpid(std::exchange(pid_, -1), &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t pid_ = -1;
  Descriptor exited_, launcher_, status_;
};

}  // namespace pipeserve
