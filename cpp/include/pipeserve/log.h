// Log events with fields. The core never prints: it emits events, and whoever embeds it decides
// where they go (the Python package hands them to `logging`, the agent writes them to stderr).
#pragma once

#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace [[gnu::visibility("default")]] pipeserve {

enum class LogLevel : int { kDebug = 0, kInfo = 1, kWarning = 2, kError = 3 };

using LogField = std::pair<std::string_view, std::string>;

struct LogEvent {
  LogLevel level = LogLevel::kInfo;
  std::string_view message;
  std::vector<LogField> fields;
};

// Receives events from any thread, one at a time per event; it must not call back into the core.
using LogSink = std::function<void(const LogEvent&)>;

// Replaces the sink; an empty one drops events. Waits until no thread is inside the old one.
void SetLogSink(LogSink sink);

// Events below `level` are dropped before their fields are formatted. Default: kInfo.
void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);

// Emits one event: Log(LogLevel::kInfo, "group ready", {{"servable", name}, {"epoch", "3"}}).
void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields = {});

// "level message key=value key=value", for sinks that want text.
std::string FormatLogEvent(const LogEvent& event);

}  // namespace pipeserve
