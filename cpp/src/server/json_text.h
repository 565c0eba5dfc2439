// Text as JSON writes it.
#pragma once

#include <string>
#include <string_view>

namespace pipeserve {

// Adds a JSON string; `text` is UTF-8.
void AppendJsonString(std::string_view text, std::string* out);

// The same of a message, which may quote what a client sent and need not be UTF-8: then what is
// not ASCII becomes '?'.
void AppendJsonMessage(std::string_view text, std::string* out);

}  // namespace pipeserve
