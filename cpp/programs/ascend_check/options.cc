#include "options.h"

#include <getopt.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>
#include <string_view>

#include "base/str_cat.h"
#include "checks.h"

namespace pipeserve::ascend::check {
namespace {

constexpr char kUsage[] =
    R"(usage: pipeserve-ascend-check [--all | --only CHECK,...] [--device N] [--library-dir DIR]
           [--ranks N] [--calls N] [--om FILE] [--quick] [--patience SECONDS]

Checks what is assumed of this machine's Ascend runtime and device. Prints one JSON document;
how far it is goes to stderr. Exit code 0 when all checks pass, 1 when one fails, 2 when the
command line is wrong. Without --all or --only: libraries, device, operators.

checks:
)";

constexpr char kFlags[] = R"(
  --all               all that can be: model needs --om, collectives a second device
  --only CHECK,...    these
  --device N          the device to try, from 0 on (default: 0); rank r tries device N + r
  --library-dir DIR   where the libraries are (default: $ASCEND_HOME_PATH/lib64, then
                      $ASCEND_TOOLKIT_HOME/lib64, then wherever the loader looks)
  --ranks N           how many processes the collectives start (default: 2)
  --calls N           how many calls the memory check makes (default: 1000)
  --om FILE           a small model that atc compiled for this device
  --quick             small sizes and few repetitions
  --patience SECONDS  a check that says nothing for so long is killed (default: 300)
  --help, --version

example:
  source /usr/local/Ascend/ascend-toolkit/set_env.sh
  pipeserve-ascend-check --all --ranks 2 --om small.om > ascend.json
)";

constexpr int64_t kMost = 1'000'000;

Result<int64_t> ParseNumber(std::string_view flag, std::string_view text, int64_t least,
                            int64_t most = kMost) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && number >= least &&
      number <= most) {
    return number;
  }
  return InvalidArgument(
      StrCat("--", flag, " is ", text, ", wanted is a whole number from ", least, " to ", most));
}

Result<std::vector<std::string>> ParseNames(const std::string& text) {
  std::set<std::string> wanted;
  std::istringstream list(text);
  for (std::string name; std::getline(list, name, ',');) {
    if (FindCheck(name) == nullptr) return InvalidArgument(StrCat("there is no check ", name));
    wanted.insert(name);
  }
  if (wanted.empty()) return InvalidArgument("--only names no check");
  std::vector<std::string> names;
  for (const Check& check : AllChecks()) {
    if (wanted.contains(check.name)) names.push_back(check.name);
  }
  return names;
}

enum Flag {
  kAll,
  kOnly,
  kDevice,
  kLibrary,
  kRanks,
  kCalls,
  kOm,
  kQuick,
  kPatience,
  kRole,
  kHelp,
  kVersion
};

Status Take(Options& options, int flag, const char* name, const char* value) {
  const auto number = [&](int least, int& to) -> Status {
    PIPESERVE_ASSIGN_OR_RETURN(const int64_t parsed, ParseNumber(name, value, least));
    to = static_cast<int>(parsed);
    return OkStatus();
  };
  switch (flag) {
    case kAll:
      options.checks.clear();
      for (const Check& check : AllChecks()) options.checks.push_back(check.name);
      return OkStatus();
    case kOnly: {
      PIPESERVE_ASSIGN_OR_RETURN(options.checks, ParseNames(value));
      return OkStatus();
    }
    case kDevice:
      return number(0, options.device.id);
    case kLibrary:
      options.library.directory = value;
      return OkStatus();
    case kRanks:
      return number(2, options.ranks);
    case kCalls: {
      constexpr int64_t kMostCalls = 1'000'000'000'000;
      PIPESERVE_ASSIGN_OR_RETURN(options.calls, ParseNumber(name, value, 1, kMostCalls));
      return OkStatus();
    }
    case kOm:
      options.om = value;
      return OkStatus();
    case kQuick:
      options.quick = true;
      return OkStatus();
    case kPatience: {
      PIPESERVE_ASSIGN_OR_RETURN(const int64_t seconds, ParseNumber(name, value, 1));
      options.patience = std::chrono::seconds(seconds);
      return OkStatus();
    }
    case kRole:
      options.role = value;
      return OkStatus();
    case kHelp:
      options.help = true;
      return OkStatus();
    default:
      options.version = true;
      return OkStatus();
  }
}

}  // namespace

std::string Usage() {
  std::string usage = kUsage;
  for (const Check& check : AllChecks()) {
    const std::string name = check.name;
    usage += StrCat("  ", name, std::string(name.size() < 12 ? 12 - name.size() : 1, ' '),
                    check.about, "\n");
  }
  return usage + kFlags;
}

Result<Options> ParseOptions(int argc, char** argv) {
  // --role is for processes that this one starts.
  constexpr option kOptions[] = {{"all", no_argument, nullptr, kAll},
                                 {"only", required_argument, nullptr, kOnly},
                                 {"device", required_argument, nullptr, kDevice},
                                 {"library-dir", required_argument, nullptr, kLibrary},
                                 {"ranks", required_argument, nullptr, kRanks},
                                 {"calls", required_argument, nullptr, kCalls},
                                 {"om", required_argument, nullptr, kOm},
                                 {"quick", no_argument, nullptr, kQuick},
                                 {"patience", required_argument, nullptr, kPatience},
                                 {"role", required_argument, nullptr, kRole},
                                 {"help", no_argument, nullptr, kHelp},
                                 {"version", no_argument, nullptr, kVersion},
                                 {nullptr, 0, nullptr, 0}};
  Options options;
  options.arguments.assign(argv + 1, argv + argc);
  opterr = 0;
  int place = 0;
  for (int flag = 0; (flag = getopt_long(argc, argv, "", kOptions, &place)) != -1;) {
    if (flag == '?') return InvalidArgument(StrCat("cannot take ", argv[optind - 1]));
    PIPESERVE_RETURN_IF_ERROR(Take(options, flag, kOptions[place].name, optarg));
  }
  if (optind != argc) return InvalidArgument(StrCat("cannot take ", argv[optind]));
  if (options.checks.size() < AllChecks().size() && options.om.empty() &&
      std::count(options.checks.begin(), options.checks.end(), "model") > 0) {
    return InvalidArgument("model needs --om FILE");
  }
  if (!options.checks.empty()) return options;
  for (const Check& check : AllChecks()) {
    if (check.by_default) options.checks.push_back(check.name);
  }
  return options;
}

}  // namespace pipeserve::ascend::check
