#include "settings.h"

#include <charconv>
#include <functional>
#include <map>
#include <sstream>

namespace pipeserve::ascend::sim {
namespace {

template <typename Number>
bool Read(const std::string& text, Number& number) {
  const char* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && rest == end;
}

bool ReadFlag(const std::string& text, bool& flag) {
  flag = text == "1";
  return text == "0" || text == "1";
}

bool ReadMode(const std::string& text, Mode& mode) {
  const std::map<std::string, Mode> modes = {
      {"eager", Mode::kEager}, {"lazy", Mode::kLazy}, {"random", Mode::kRandom}};
  const auto found = modes.find(text);
  if (found == modes.end()) return false;
  mode = found->second;
  return true;
}

bool ReadWorkspace(const std::string& text, Settings& settings) {
  settings.random_workspace = text == "random";
  return settings.random_workspace || Read(text, settings.workspace);
}

bool Set(Settings& settings, const std::string& name, const std::string& value) {
  const std::map<std::string, std::function<bool()>> readers = {
      {"mode", [&] { return ReadMode(value, settings.mode); }},
      {"seed", [&] { return Read(value, settings.seed); }},
      {"soc", [&] { return !(settings.soc = value).empty(); }},
      {"devices", [&] { return Read(value, settings.devices); }},
      {"memory", [&] { return Read(value, settings.memory); }},
      {"abort", [&] { return ReadFlag(value, settings.stop_at_violation); }},
      {"workspace", [&] { return ReadWorkspace(value, settings); }},
      {"repeatable", [&] { return ReadFlag(value, settings.repeatable); }},
      {"connect_ms", [&] { return Read(value, settings.connect_ms); }},
      {"exec_ms", [&] { return Read(value, settings.exec_ms); }},
      {"slow_ms", [&] { return Read(value, settings.slow_ms); }},
      {"die_at", [&] { return Read(value, settings.die_at); }},
      {"hang_at", [&] { return Read(value, settings.hang_at); }},
      {"reverse_sums", [&] { return ReadFlag(value, settings.reverse_sums); }},
  };
  const auto found = readers.find(name);
  return found != readers.end() && found->second();
}

}  // namespace

std::string Settings::Apply(const std::string& text) {
  std::istringstream pairs(text);
  for (std::string pair; std::getline(pairs, pair, ',');) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos ||
        !Set(*this, pair.substr(0, equals), pair.substr(equals + 1))) {
      return "the simulator has no setting \"" + pair + "\"";
    }
  }
  return {};
}

}  // namespace pipeserve::ascend::sim
