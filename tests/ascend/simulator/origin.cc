#include "origin.h"

#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <sstream>

namespace pipeserve::ascend::sim {
namespace {

constexpr int kShown = 4;

// Without the parameters of a function.
std::string Demangle(const char* name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> full(
      __cxxabiv1::__cxa_demangle(name, nullptr, nullptr, &status), &std::free);
  if (full == nullptr) return name;
  std::string text = full.get();
  if (!text.ends_with(')')) return text;
  size_t begin = text.size();
  int depth = 0;
  do {
    --begin;
    depth += text[begin] == ')' ? 1 : text[begin] == '(' ? -1 : 0;
  } while (depth > 0 && begin > 0);
  return text.substr(0, begin) + "()";
}

const void* OwnLibrary() {
  Dl_info info = {};
  dladdr(reinterpret_cast<const void*>(&Origin::Here), &info);
  return info.dli_fbase;
}

std::string Frame(const Dl_info& info, void* address) {
  std::ostringstream text;
  const auto at = reinterpret_cast<uintptr_t>(address);
  if (info.dli_sname != nullptr) {
    text << Demangle(info.dli_sname) << "+0x" << std::hex
         << at - reinterpret_cast<uintptr_t>(info.dli_saddr);
    return text.str();
  }
  const char* const file = info.dli_fname == nullptr ? "?" : info.dli_fname;
  const char* const slash = std::strrchr(file, '/');
  text << (slash == nullptr ? file : slash + 1) << "+0x" << std::hex
       << at - reinterpret_cast<uintptr_t>(info.dli_fbase);
  return text.str();
}

}  // namespace

Origin Origin::Here() {
  Origin origin;
  origin.count_ = backtrace(origin.frames_.data(), static_cast<int>(origin.frames_.size()));
  return origin;
}

std::string Origin::Text() const {
  const void* const own = OwnLibrary();
  std::string text;
  int shown = 0;
  for (int i = 0; i < count_ && shown < kShown; ++i) {
    Dl_info info = {};
    if (dladdr(frames_[i], &info) == 0 || info.dli_fbase == own) continue;
    text += (text.empty() ? "" : " < ") + Frame(info, frames_[i]);
    ++shown;
  }
  return text.empty() ? "the simulator itself" : text;
}

}  // namespace pipeserve::ascend::sim
