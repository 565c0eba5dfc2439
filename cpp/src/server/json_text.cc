#include "server/json_text.h"

#include <simdjson.h>

namespace pipeserve {
namespace {

void AppendEscaped(char c, std::string* out) {
  constexpr std::string_view kHex = "0123456789abcdef";
  const auto code = static_cast<unsigned char>(c);
  if (c == '"' || c == '\\') {
    out->push_back('\\');
    out->push_back(c);
  } else if (code < 0x20) {
    out->append("\\u00");
    out->push_back(kHex[code >> 4]);
    out->push_back(kHex[code & 15]);
  } else {
    out->push_back(c);
  }
}

}  // namespace

void AppendJsonString(std::string_view text, std::string* out) {
  out->push_back('"');
  for (const char c : text) AppendEscaped(c, out);
  out->push_back('"');
}

void AppendJsonMessage(std::string_view text, std::string* out) {
  if (simdjson::validate_utf8(text.data(), text.size())) return AppendJsonString(text, out);
  std::string ascii(text);
  for (char& c : ascii) {
    if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  }
  AppendJsonString(ascii, out);
}

}  // namespace pipeserve
