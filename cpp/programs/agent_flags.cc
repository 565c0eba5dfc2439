#include "agent_flags.h"

#include <getopt.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <string_view>
#include <utility>

#include "agent/agent_token.h"
#include "base/available_cores.h"
#include "base/str_cat.h"

namespace pipeserve {

const char kAgentUsage[] =
    R"(usage: pipeserve-agent --server ADDRESS --rank N --model FILE [--model FILE ...] [options]

Runs one rank of a distributed servable until its server or its launcher is gone.

  --server ADDRESS     where the server waits for agents, "ip:port"
  --token-file FILE    the token that the server wants (default: $PIPESERVE_AGENT_TOKEN)
  --ssl-ca FILE        speak TLS, and verify the server by these authorities
  --ssl-certificate FILE, --ssl-private-key FILE
                       speak TLS, and show this certificate to the server
  --rank N             this agent's rank (default: $RANK_ID)
  --rank-size N        ranks of the servable (default: 1)
  --device KIND        cpu, ascend, or auto (default: ascend where its runtime is found)
  --device-id N        this agent's device (default: $DEVICE_ID, else 0)
  --precision HOW      of float32 MatMul on Ascend: strict (default), hf32 or fp16
  --deterministic      the same bits for the same inputs on Ascend, at the price of speed
  --overlap            copies to and from Ascend overlap with computing, with twice the memory
  --rank-table FILE    what HCCL makes the first group of all ranks by (default: root information)
  --model FILE         a model file; the n-th one is subgraph n; on Ascend also a compiled one, .om
  --group-config FILE  the rank's communication groups
  --listen IP:PORT     where the other ranks reach this one (default: 127.0.0.1:0)
  --threads N          threads of one graph call (default: the cores divided by --local-ranks)
  --local-ranks N      ranks that share this machine's cores (default: --rank-size)
  --collectives WAY    what carries the ranks' collectives: auto (default: shared memory if all
                       ranks are on one host, else sockets), shm, socket or gloo (trusted
                       networks only)
  --key-fd N           read the decryption key, raw, from this descriptor
  --dec-mode MODE      AES-GCM (default) or AES-CBC
  --launcher-fd N      exit when this descriptor reaches its end
  --status-fd N        write lines of JSON here: {"state":"ready"}, or "failed" and "error"; after
                       "ready", "alive" at every heartbeat
  --heartbeat-ms N     milliseconds between two of them (default: 1000)
  --help, --version

Exit codes: 0 told to end, 1 an error, 2 wrong usage, 3 the device was lost and only a new process
can have it again, 4 no server for 60 seconds.
)";

namespace {

enum Flag : int {
  kServer = 256,
  kTokenFile,
  kSslCa,
  kSslCertificate,
  kSslPrivateKey,
  kRank,
  kRankSize,
  kDevice,
  kDeviceId,
  kPrecision,
  kDeterministic,
  kOverlap,
  kRankTable,
  kModel,
  kGroupConfig,
  kListen,
  kThreads,
  kLocalRanks,
  kCollectives,
  kKeyFd,
  kDecMode,
  kLauncherFd,
  kStatusFd,
  kHeartbeatMs,
  kHelp,
  kVersion,
};

constexpr option kOptions[] = {
    {"server", required_argument, nullptr, kServer},
    {"token-file", required_argument, nullptr, kTokenFile},
    {"ssl-ca", required_argument, nullptr, kSslCa},
    {"ssl-certificate", required_argument, nullptr, kSslCertificate},
    {"ssl-private-key", required_argument, nullptr, kSslPrivateKey},
    {"rank", required_argument, nullptr, kRank},
    {"rank-size", required_argument, nullptr, kRankSize},
    {"device", required_argument, nullptr, kDevice},
    {"device-id", required_argument, nullptr, kDeviceId},
    {"precision", required_argument, nullptr, kPrecision},
    {"deterministic", no_argument, nullptr, kDeterministic},
    {"overlap", no_argument, nullptr, kOverlap},
    {"rank-table", required_argument, nullptr, kRankTable},
    {"model", required_argument, nullptr, kModel},
    {"group-config", required_argument, nullptr, kGroupConfig},
    {"listen", required_argument, nullptr, kListen},
    {"threads", required_argument, nullptr, kThreads},
    {"local-ranks", required_argument, nullptr, kLocalRanks},
    {"collectives", required_argument, nullptr, kCollectives},
    {"key-fd", required_argument, nullptr, kKeyFd},
    {"dec-mode", required_argument, nullptr, kDecMode},
    {"launcher-fd", required_argument, nullptr, kLauncherFd},
    {"status-fd", required_argument, nullptr, kStatusFd},
    {"heartbeat-ms", required_argument, nullptr, kHeartbeatMs},
    {"help", no_argument, nullptr, kHelp},
    {"version", no_argument, nullptr, kVersion},
    {nullptr, 0, nullptr, 0},
};

Status ParseNumber(const std::string& name, const std::string& text, int least, int* number) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *number);
  if (error == std::errc() && stop == end && *number >= least) return OkStatus();
  return InvalidArgument(
      StrCat(name, " wants an integer of at least ", least, ", '", text, "' came"));
}

Status ParseEnvironment(const char* name, int* number) {
  const char* text = std::getenv(name);
  return text == nullptr ? OkStatus() : ParseNumber(name, text, 0, number);
}

Status ParseDecMode(const std::string& text, DecryptMode* mode) {
  if (text != "AES-GCM" && text != "AES-CBC") {
    return InvalidArgument(StrCat("--dec-mode wants AES-GCM or AES-CBC, '", text, "' came"));
  }
  *mode = text == "AES-GCM" ? DecryptMode::kAesGcm : DecryptMode::kAesCbc;
  return OkStatus();
}

Status ParseCollectives(const std::string& text, Collectives* collectives) {
  constexpr std::pair<std::string_view, Collectives> kWays[] = {
      {"auto", Collectives::kAuto},
      {"shm", Collectives::kSharedMemory},
      {"socket", Collectives::kSockets},
      {"gloo", Collectives::kGloo},
  };
  const auto found =
      std::ranges::find(kWays, text, &std::pair<std::string_view, Collectives>::first);
  if (found == std::end(kWays)) {
    return InvalidArgument(
        StrCat("--collectives wants auto, shm, socket or gloo, '", text, "' came"));
  }
  *collectives = found->second;
  return OkStatus();
}

// Sets `*value` to what `parse` makes of `text`.
template <typename T>
Status ParseName(const char* flag, const std::string& text, Result<T> (*parse)(std::string_view),
                 T* value) {
  Result<T> parsed = parse(text);
  if (!parsed.ok()) return parsed.status().WithContext(flag);
  *value = *parsed;
  return OkStatus();
}

Status ParseTokenFile(const std::string& file, std::string* token) {
  Result<std::string> read = ReadTokenFile(file);
  if (!read.ok()) return read.status().WithContext("--token-file");
  *token = *std::move(read);
  return OkStatus();
}

// Any of its flags asks for TLS.
ClientSslOptions& Tls(AgentFlags* flags) {
  std::optional<ClientSslOptions>& ssl = flags->credentials.ssl;
  return ssl.has_value() ? *ssl : ssl.emplace();
}

Status ApplyFlag(int flag, const std::string& value, AgentFlags* flags) {
  switch (flag) {
    case kServer:
      flags->server = value;
      return OkStatus();
    case kTokenFile:
      return ParseTokenFile(value, &flags->credentials.token);
    case kSslCa:
      Tls(flags).custom_ca_file = value;
      return OkStatus();
    case kSslCertificate:
      Tls(flags).certificate_file = value;
      return OkStatus();
    case kSslPrivateKey:
      Tls(flags).private_key_file = value;
      return OkStatus();
    case kRank:
      return ParseNumber("--rank", value, 0, &flags->rank);
    case kRankSize:
      return ParseNumber("--rank-size", value, 1, &flags->rank_size);
    case kDevice:
      return ParseName("--device", value, &ParseDeviceKind, &flags->device);
    case kPrecision:
      return ParseName("--precision", value, &ascend::ParsePrecision, &flags->precision);
    case kDeterministic:
      flags->deterministic = true;
      return OkStatus();
    case kOverlap:
      flags->overlap = true;
      return OkStatus();
    case kRankTable:
      flags->rank_table = value;
      return OkStatus();
    case kDeviceId:
      return ParseNumber("--device-id", value, 0, &flags->device_id);
    case kModel:
      flags->models.push_back(value);
      return OkStatus();
    case kGroupConfig:
      flags->group_config = value;
      return OkStatus();
    case kListen:
      flags->listen = value;
      return OkStatus();
    case kThreads:
      return ParseNumber("--threads", value, 1, &flags->threads);
    case kLocalRanks:
      return ParseNumber("--local-ranks", value, 1, &flags->local_ranks);
    case kCollectives:
      return ParseCollectives(value, &flags->collectives);
    case kKeyFd:
      return ParseNumber("--key-fd", value, 0, &flags->key_fd);
    case kDecMode:
      return ParseDecMode(value, &flags->dec_mode);
    case kLauncherFd:
      return ParseNumber("--launcher-fd", value, 0, &flags->launcher_fd);
    case kStatusFd:
      return ParseNumber("--status-fd", value, 0, &flags->status_fd);
    case kHeartbeatMs:
      return ParseNumber("--heartbeat-ms", value, 1, &flags->heartbeat_ms);
    case kHelp:
      flags->help = true;
      return OkStatus();
    case kVersion:
      flags->version = true;
      return OkStatus();
    default:
      return InvalidArgument("unknown flag, or one without its value");
  }
}

Status CheckComplete(const AgentFlags& flags) {
  if (flags.server.empty()) return InvalidArgument("--server is missing");
  if (flags.rank < 0) return InvalidArgument("--rank is missing");
  if (flags.models.empty()) return InvalidArgument("--model is missing");
  const std::optional<ClientSslOptions>& ssl = flags.credentials.ssl;
  if (ssl.has_value() && ssl->certificate_file.empty() != ssl->private_key_file.empty()) {
    return InvalidArgument("--ssl-certificate and --ssl-private-key go together");
  }
  if (flags.rank >= flags.rank_size) {
    return InvalidArgument(
        StrCat("--rank ", flags.rank, " is not below --rank-size ", flags.rank_size));
  }
  return OkStatus();
}

}  // namespace

Result<AgentFlags> ParseAgentFlags(int argc, char** argv) {
  AgentFlags flags;
  if (const char* token = std::getenv(kTokenVariable)) flags.credentials.token = token;
  PIPESERVE_RETURN_IF_ERROR(ParseEnvironment("RANK_ID", &flags.rank));
  PIPESERVE_RETURN_IF_ERROR(ParseEnvironment("DEVICE_ID", &flags.device_id));
  opterr = 0;
  for (int flag = 0; (flag = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    const Status status = ApplyFlag(flag, optarg == nullptr ? "" : optarg, &flags);
    if (flag == '?') return status.WithContext(argv[optind - 1]);
    PIPESERVE_RETURN_IF_ERROR(status);
  }
  if (flags.help || flags.version) return flags;
  if (optind < argc) return InvalidArgument(StrCat("unexpected argument '", argv[optind], "'"));
  PIPESERVE_RETURN_IF_ERROR(CheckComplete(flags));
  if (flags.local_ranks == 0) flags.local_ranks = flags.rank_size;
  if (flags.threads == 0) flags.threads = ShareOfCores(AvailableCores(), flags.local_ranks);
  return flags;
}

}  // namespace pipeserve
