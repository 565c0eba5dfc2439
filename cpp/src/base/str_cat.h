// StrCat("rank ", 3, ": ", status) builds a message from anything that std::ostream can write.
#pragma once

#include <sstream>
#include <string>
#include <string_view>

namespace pipeserve {

template <typename... Parts>
std::string StrCat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

// "a, b, c" for any range of streamable items.
template <typename Range>
std::string StrJoin(const Range& range, std::string_view separator) {
  std::ostringstream out;
  std::string_view between = "";
  for (const auto& item : range) {
    out << between << item;
    between = separator;
  }
  return out.str();
}

}  // namespace pipeserve
