// pipeserve-agent: the process of one rank.
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>
#include <thread>

#include "agent/agent_session.h"
#include "agent/rank_table.h"
#include "agent_flags.h"
#include "base/malloc_tuning.h"
#include "base/str_cat.h"
#include "executor/device_choice.h"
#include "executor/gloo_communicator.h"
#include "executor/join_collectives.h"
#include "graph/model_file.h"
#include "graph/needless_gathers.h"
#include "pipeserve/log.h"

namespace pipeserve {
namespace {

constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;
constexpr int kExitDeviceLost = 3;  // Whoever supervises starts a new process.
constexpr int kExitNoServer = 4;
constexpr size_t kMaxKeyBytes = 32;

// Tells the launcher, if there is one, how starting went, and then that this process lives.
// Thread-safe.
class StatusLine {
 public:
  explicit StatusLine(int fd) : fd_(fd) {}

  void Ready() {
    Write({{"state", "ready"}});
    // A launcher that does not read must not hold up the agent.
    if (fd_ >= 0) ::fcntl(fd_, F_SETFL, ::fcntl(fd_, F_GETFL) | O_NONBLOCK);
    ready_ = true;
  }
  void Failed(const std::string& error) { Write({{"state", "failed"}, {"error", error}}); }
  // Says nothing before Ready().
  void Alive() {
    if (ready_) Write({{"state", "alive"}});
  }

 private:
  // A line is shorter than what a pipe takes as a whole (PIPE_BUF), except for errors, which come
  // when nobody else writes.
  void Write(const nlohmann::json& line) {
    if (fd_ < 0) return;
    using Json = nlohmann::json;
    const std::string text = line.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
    for (size_t done = 0; done < text.size();) {
      const ssize_t count = ::write(fd_, text.data() + done, text.size() - done);
      if (count < 0 && errno == EINTR) continue;
      if (count <= 0) return;  // The launcher does not listen any more.
      done += static_cast<size_t>(count);
    }
  }

  const int fd_;
  std::atomic<bool> ready_{false};
};

Result<std::string> ReadKey(int fd) {
  std::array<char, kMaxKeyBytes + 1> bytes;
  size_t size = 0;
  while (size < bytes.size()) {
    const ssize_t count = ::read(fd, bytes.data() + size, bytes.size() - size);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return InvalidArgument(StrCat("cannot read --key-fd: ", std::strerror(errno)));
    if (count == 0) break;
    size += static_cast<size_t>(count);
  }
  ::close(fd);
  if (size != 16 && size != 24 && size != kMaxKeyBytes) {
    return InvalidArgument("the decryption key has to have 16, 24 or 32 bytes");
  }
  return std::string(bytes.data(), size);
}

// HCCL takes it for granted that this process is where the table says.
Status CheckPlace(const AgentFlags& flags) {
  PIPESERVE_ASSIGN_OR_RETURN(const RankTable table, ReadRankTable(flags.rank_table));
  if (table.ranks.size() != static_cast<size_t>(flags.rank_size)) {
    return FailedPrecondition(StrCat("rank table ", flags.rank_table, " has ", table.ranks.size(),
                                     " ranks, --rank-size is ", flags.rank_size));
  }
  const int device = table.ranks[static_cast<size_t>(flags.rank)].device_id;
  if (device == flags.device_id) return OkStatus();
  return FailedPrecondition(StrCat("rank table ", flags.rank_table, " has rank ", flags.rank,
                                   " on device ", device, ", --device-id is ", flags.device_id));
}

Result<std::unique_ptr<RankExecutor>> LoadExecutor(const AgentFlags& flags) {
  ReadOptions options{.decryption = std::nullopt, .groups = {}, .rank_size = flags.rank_size};
  if (flags.key_fd >= 0) {
    Decryption decryption{.key = "", .mode = flags.dec_mode};
    PIPESERVE_ASSIGN_OR_RETURN(decryption.key, ReadKey(flags.key_fd));
    options.decryption = std::move(decryption);
  }
  if (!flags.group_config.empty()) {
    PIPESERVE_ASSIGN_OR_RETURN(options.groups, ReadGroupFile(flags.group_config));
  }
  if (!flags.rank_table.empty()) PIPESERVE_RETURN_IF_ERROR(CheckPlace(flags));
  std::vector<ascend::AscendModel> models;
  for (const std::string& file : flags.models) {
    if (file.ends_with(".om")) {
      models.emplace_back(file);
      continue;
    }
    PIPESERVE_ASSIGN_OR_RETURN(Graph graph, ReadMindir(file, options));
    DropNeedlessGathers(flags.rank, flags.rank_size, &graph);
    models.emplace_back(std::move(graph));
  }
  RankExecutorOptions executor;
  executor.kind = flags.device;
  executor.threads = flags.threads;
  executor.rank_size = flags.rank_size;
  executor.ascend.device = {flags.device_id, flags.deterministic};
  executor.ascend.precision = flags.precision;
  executor.ascend.overlap = flags.overlap;
  executor.ascend.rank_table = flags.rank_table;
  return MakeRankExecutor(std::move(models), executor);
}

// Waits for a signal or the launcher's end and stops the session; ends when `done_fd` is readable.
// Gives the launcher a sign of life meanwhile.
void WatchForEnd(int signal_fd, int launcher_fd, int done_fd, int heartbeat_ms,
                 StatusLine* status_line, AgentSession* session) {
  std::array<pollfd, 3> fds = {{{.fd = signal_fd, .events = POLLIN, .revents = 0},
                                {.fd = launcher_fd, .events = POLLIN, .revents = 0},
                                {.fd = done_fd, .events = POLLIN, .revents = 0}}};
  while (true) {
    const int events = ::poll(fds.data(), fds.size(), heartbeat_ms);
    if (events < 0) continue;  // EINTR.
    if (events == 0) {
      status_line->Alive();
      continue;
    }
    if (fds[2].revents != 0) return;
    if (fds[0].revents != 0) return session->Stop("the agent was told to stop by a signal");
    if (fds[1].revents == 0) continue;
    char byte = 0;
    const ssize_t count = ::read(launcher_fd, &byte, 1);
    if (count == 0 || (count < 0 && errno != EINTR && errno != EAGAIN)) {
      return session->Stop("the agent's launcher is gone");
    }
  }
}

// Ends the process as it is: nothing of a device can be given back that does not answer, and to try
// may take for ever. The driver does it.
[[noreturn]] void EndLost(int rank, const Status& reason) {
  Log(LogLevel::kError, "device lost",
      {{"rank", std::to_string(rank)}, {"reason", reason.message()}});
  std::_Exit(kExitDeviceLost);
}

Status Serve(const AgentFlags& flags, int signal_fd, StatusLine* status_line, int* exit_code) {
  PIPESERVE_ASSIGN_OR_RETURN(const std::unique_ptr<RankExecutor> executor, LoadExecutor(flags));
  PIPESERVE_ASSIGN_OR_RETURN(const SocketListener listener, SocketListener::Open(flags.listen));
  const auto join_peers = [&](const GroupEpoch& epoch, std::span<const std::string> peers,
                              const WaitLimit& limit,
                              const AnnounceCommunicator& announce) -> Status {
    executor->LeaveGroup();  // Closes the connections of the epoch before.
    if (peers.size() != static_cast<size_t>(flags.rank_size)) {
      return InvalidArgument(StrCat("--rank-size is ", flags.rank_size, ", the servable has ",
                                    peers.size(), " ranks"));
    }
    PIPESERVE_ASSIGN_OR_RETURN(std::shared_ptr<Communicator> communicator,
                               JoinCollectives(listener, flags.rank, peers, epoch, limit,
                                               flags.collectives, &GlooCommunicator::Connect));
    return executor->JoinGroup(std::move(communicator), limit.deadline, announce);
  };
  // A call on the CPU ends by itself, however long it takes.
  std::function<void(const Status&)> on_stuck;
  if (executor->traits().kind != "cpu") {
    on_stuck = [&](const Status& reason) { EndLost(flags.rank, reason); };
  }
  AgentSession session({.server = flags.server,
                        .credentials = flags.credentials,
                        .rank = flags.rank,
                        .peer_address = listener.address(),
                        .executor = executor.get(),
                        .pipeline = executor->pipeline(),
                        .device = executor->traits(),
                        .join_peers = join_peers,
                        .device_health = [&] { return executor->Health(); },
                        .on_stuck = on_stuck,
                        .on_connected = [&] { status_line->Ready(); },
                        .join_timeout = executor->join_limit()});
  const int done_fd = ::eventfd(0, EFD_CLOEXEC);
  if (done_fd < 0) return Internal(StrCat("eventfd: ", std::strerror(errno)));
  std::jthread watcher([&] {
    WatchForEnd(signal_fd, flags.launcher_fd, done_fd, flags.heartbeat_ms, status_line, &session);
  });
  const Status status = session.Run();
  if (status.code() == StatusCode::kUnavailable) *exit_code = kExitNoServer;
  // Another start would be refused, too.
  if (status.code() == StatusCode::kUnauthenticated) *exit_code = kExitUsage;
  eventfd_write(done_fd, 1);
  watcher.join();
  ::close(done_fd);
  const Status health = executor->Health();
  if (!health.ok()) EndLost(flags.rank, health);
  return status;
}

// The signals that end the agent become readable at a descriptor; every thread inherits the mask.
int OpenSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // Gloo counts on it.
  return ::signalfd(-1, &signals, SFD_CLOEXEC);
}

int Main(int argc, char** argv) {
  const Result<AgentFlags> flags = ParseAgentFlags(argc, argv);
  if (!flags.ok()) {
    std::cerr << "pipeserve-agent: " << flags.status().message() << " (--help explains)\n";
    return kExitUsage;
  }
  if (flags->help || flags->version) {
    std::cout << (flags->help ? kAgentUsage : "pipeserve-agent " PIPESERVE_VERSION "\n");
    return 0;
  }
  // HCCL asks nothing else; "strict" may stand there already. Before there are threads.
  if (flags->deterministic) ::setenv("HCCL_DETERMINISTIC", "true", /*overwrite=*/0);
  TuneMallocForServing();
  SetLogSink([](const LogEvent& event) { std::cerr << FormatLogEvent(event) + "\n"; });
  StatusLine status_line(flags->status_fd);
  int exit_code = kExitFailure;
  const Status status = Serve(*flags, OpenSignals(), &status_line, &exit_code);
  if (status.ok()) return 0;
  std::cerr << StrCat("pipeserve-agent: rank ", flags->rank, ": ", status.message(), "\n");
  status_line.Failed(status.message());
  return exit_code;
}

}  // namespace
}  // namespace pipeserve

int main(int argc, char** argv) { return pipeserve::Main(argc, argv); }
