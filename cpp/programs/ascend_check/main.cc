// pipeserve-ascend-check: what this machine's Ascend runtime and device are, and whether they do
// what the backend assumes of them. Prints one JSON document.
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <string>
#include <utility>

#include "base/str_cat.h"
#include "checks.h"
#include "options.h"
#include "process.h"

namespace pipeserve::ascend::check {
namespace {

using nlohmann::literals::operator""_json_pointer;

constexpr char kVersion[] = "pipeserve-ascend-check " PIPESERVE_VERSION;
constexpr char kRoleOfCheck[] = "check";
constexpr int kExitFailure = 1;
constexpr int kExitUsage = 2;

// Why --all leaves a check out; empty when it does not.
std::string WhyNot(const Check& check, const Options& options, const Json& document) {
  if (check.run == CheckModel && options.om.empty()) return "needs --om FILE";
  if (check.run != CheckCollectives || options.ranks > 0) return {};
  // With --only nobody has counted the devices; then it is tried.
  const int devices = document.value("/device/devices"_json_pointer, kUsualRanks);
  return devices < kUsualRanks ? "needs a second device" : "";
}

// What the process of one check does.
int RunHere(const Options& options) {
  Json found = Json::object();
  const Status status = FindCheck(options.checks.front())->run(options, found);
  Say({{"report", PartOf(status, std::move(found))}});
  std::cerr.flush();
  _exit(EXIT_SUCCESS);  // What is on a device that failed must not be touched again.
}

// The report of the process, and none when it ended without one.
Result<std::optional<Json>> AwaitReport(Child& child, const Check& check, const Options& options) {
  while (true) {
    PIPESERVE_ASSIGN_OR_RETURN(std::optional<Json> message,
                               child.Hear(Deadline::After(options.patience)));
    if (!message.has_value()) return message;
    if (message->contains("report")) return std::optional<Json>((*message)["report"]);
    std::cerr << check.name << ": " << message->value("progress", "") << "\n";
  }
}

Json RunInProcess(const Check& check, const Options& options) {
  std::vector<std::string> arguments = options.arguments;
  arguments.insert(arguments.end(), {"--only", check.name, "--role", kRoleOfCheck});
  auto child = Child::Start(std::move(arguments));
  if (!child.ok()) return Failed(child.status());
  Result<std::optional<Json>> report = AwaitReport(**child, check, options);
  if (!report.ok()) {
    return Failed(report.status().WithContext(
        StrCat("killed after ", options.patience.count(), " s without a word")));
  }
  if (report->has_value()) return **std::move(report);
  return Failed(Internal(StrCat("the process of the check ", (*child)->AwaitEnd())));
}

Json RunCheck(const Check& check, const Options& options) {
  std::cerr << check.name << ": " << check.about << "\n";
  const Stopwatch watch;
  Json part;
  if (check.run == CheckCollectives) {  // It has processes of its own.
    Json found = Json::object();
    const Status status = check.run(options, found);
    part = PartOf(status, std::move(found));
  } else {
    part = RunInProcess(check, options);
  }
  part["seconds"] = watch.milliseconds() / 1000;
  std::cerr << check.name << ": " << (part["ok"] == true ? "ok" : part.value("error", "failed"))
            << "\n";
  return part;
}

int RunAll(const Options& options) {
  Json document = {{"program", kVersion}};
  bool good = true;
  for (const std::string& name : options.checks) {
    const Check& check = *FindCheck(name);
    const std::string why_not = WhyNot(check, options, document);
    if (!why_not.empty()) {
      document[name] = {{"skipped", why_not}};
      continue;
    }
    Json part = RunCheck(check, options);
    const bool failed = part.contains("ok") && part["ok"] != true;
    good = good && !failed;
    // Nothing else can work without them.
    const bool is_end = failed && name == "libraries";
    document[name] = std::move(part);
    if (is_end) break;
  }
  document["ok"] = good;
  std::cout << document.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  return good ? EXIT_SUCCESS : kExitFailure;
}

int Main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  const Result<Options> options = ParseOptions(argc, argv);
  if (!options.ok()) {
    std::cerr << "pipeserve-ascend-check: " << options.status().message() << "\n\n" << Usage();
    return kExitUsage;
  }
  if (options->help) {
    std::cout << Usage();
    return EXIT_SUCCESS;
  }
  if (options->version) {
    std::cout << kVersion << "\n";
    return EXIT_SUCCESS;
  }
  if (options->role.empty()) return RunAll(*options);
  EndWithParent();
  return options->role == kRoleOfCheck ? RunHere(*options) : RunRank(*options);
}

}  // namespace
}  // namespace pipeserve::ascend::check

int main(int argc, char** argv) { return pipeserve::ascend::check::Main(argc, argv); }
