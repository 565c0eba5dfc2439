#include "process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <iostream>
#include <utility>

#include "base/str_cat.h"

extern char** environ;

namespace pipeserve::ascend::check {
namespace {

constexpr int kReportFd = 3;
constexpr std::chrono::seconds kEndLimit{10};

struct Pipe {
  FileDescriptor read, write;
};

Result<Pipe> OpenPipe() {
  std::array<int, 2> fds = {-1, -1};
  if (pipe2(fds.data(), O_CLOEXEC) != 0) {
    return Internal(StrCat("cannot open a pipe: ", std::strerror(errno)));
  }
  return Pipe{FileDescriptor(fds[0]), FileDescriptor(fds[1])};
}

void WriteLine(int fd, const Json& message) {
  const std::string text = message.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
  for (size_t done = 0; done < text.size();) {
    const ssize_t count = write(fd, text.data() + done, text.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) break;  // Nobody listens any more.
    done += static_cast<size_t>(count);
  }
}

// Milliseconds for poll().
int Left(Deadline deadline) {
  if (deadline.is_infinite()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline.Remaining());
  return static_cast<int>(std::min<int64_t>(left.count(), 1 << 30));
}

}  // namespace

Result<std::unique_ptr<Child>> Child::Start(std::vector<std::string> arguments) {
  PIPESERVE_ASSIGN_OR_RETURN(Pipe to, OpenPipe());
  PIPESERVE_ASSIGN_OR_RETURN(Pipe from, OpenPipe());
  arguments.insert(arguments.begin(), "pipeserve-ascend-check");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, to.read.fd(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, from.write.fd(), kReportFd);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  std::unique_ptr<Child> child(new Child);
  const int error =
      posix_spawn(&child->pid_, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return Internal(StrCat("cannot start a process: ", std::strerror(error)));
  child->to_ = std::move(to.write);
  child->from_ = std::move(from.read);
  return child;
}

Child::~Child() {
  if (pid_ < 0) return;
  Kill();
  (void)AwaitEnd();
}

void Child::Tell(const Json& message) { WriteLine(to_.fd(), message); }

Result<std::optional<Json>> Child::Hear(Deadline deadline) {
  size_t end = 0;
  while ((end = heard_.find('\n')) == std::string::npos) {
    pollfd polled{.fd = from_.fd(), .events = POLLIN, .revents = 0};
    const int ready = poll(&polled, 1, Left(deadline));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return DeadlineExceeded("the process says nothing");
    std::array<char, 4096> bytes;
    const ssize_t count = read(from_.fd(), bytes.data(), bytes.size());
    if (count <= 0) return std::optional<Json>();
    heard_.append(bytes.data(), static_cast<size_t>(count));
  }
  Json message = Json::parse(heard_.substr(0, end), nullptr, false);
  heard_.erase(0, end + 1);
  if (message.is_discarded()) return DataLoss("the process says what is no JSON");
  return std::optional<Json>(std::move(message));
}

void Child::Kill() { kill(pid_, SIGKILL); }

std::string Child::AwaitEnd() {
  const pid_t pid = std::exchange(pid_, -1);
  const FileDescriptor ended(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
  pollfd polled{.fd = ended.fd(), .events = POLLIN, .revents = 0};
  const Deadline deadline = Deadline::After(kEndLimit);
  while (poll(&polled, 1, Left(deadline)) < 0 && errno == EINTR) continue;
  int status = 0;
  if (waitpid(pid, &status, WNOHANG) != pid) return "does not end";
  if (WIFEXITED(status)) return StrCat("exited with code ", WEXITSTATUS(status));
  return StrCat("was ended by signal ", WTERMSIG(status));
}

void EndWithParent() { prctl(PR_SET_PDEATHSIG, SIGKILL); }

void Say(const Json& message) { WriteLine(kReportFd, message); }

std::optional<Json> Listen() {
  std::string line;
  if (!std::getline(std::cin, line)) return std::nullopt;
  Json message = Json::parse(line, nullptr, false);
  if (message.is_discarded()) return std::nullopt;
  return message;
}

}  // namespace pipeserve::ascend::check
