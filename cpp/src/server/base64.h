// Base64 (RFC 4648, standard alphabet, with padding).
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "pipeserve/tensor.h"

namespace pipeserve {

// Appends the encoding of `bytes`.
void AppendBase64(std::string_view bytes, std::string* out);

// Nothing when `text` is not the whole encoding of some bytes.
std::optional<Buffer> DecodeBase64(std::string_view text);

}  // namespace pipeserve
