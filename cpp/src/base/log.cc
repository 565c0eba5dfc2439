#include "pipeserve/log.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>

namespace pipeserve {
namespace {

struct SinkHolder {
  std::shared_mutex mutex;  // Shared while a thread is inside the sink, exclusive to replace it.
  LogSink sink;
};

SinkHolder& Holder() {
  static auto* holder = new SinkHolder;  // Never destroyed: threads may log during exit.
  return *holder;
}

std::atomic<int> g_level{static_cast<int>(LogLevel::kInfo)};

std::string_view LevelName(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return "debug";
    case LogLevel::kInfo:
      return "info";
    case LogLevel::kWarning:
      return "warning";
    case LogLevel::kError:
      return "error";
  }
  return "unknown";
}

}  // namespace

void SetLogSink(LogSink sink) {
  std::unique_lock lock(Holder().mutex);
  Holder().sink = std::move(sink);
}

void SetLogLevel(LogLevel level) { g_level.store(static_cast<int>(level)); }

bool LogEnabled(LogLevel level) { return static_cast<int>(level) >= g_level.load(); }

void Log(LogLevel level, std::string_view message, std::initializer_list<LogField> fields) {
  if (!LogEnabled(level)) return;
  std::shared_lock lock(Holder().mutex);
  if (!Holder().sink) return;
  Holder().sink(LogEvent{level, message, std::vector<LogField>(fields)});
}

std::string FormatLogEvent(const LogEvent& event) {
  std::string text(LevelName(event.level));
  text += ' ';
  text += event.message;
  for (const auto& [key, value] : event.fields) {
    text += ' ';
    text += key;
    text += '=';
    text += value;
  }
  return text;
}

}  // namespace pipeserve
