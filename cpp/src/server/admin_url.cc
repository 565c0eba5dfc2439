#include "server/admin_url.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

constexpr std::string_view kModels = "/v2/repository/models/";
constexpr size_t kEscape = 3;  // As long as "%20".

// Nothing when what follows a '%' is no two hexadecimal digits.
std::optional<std::string> DecodePercent(std::string_view text) {
  std::string decoded;
  while (!text.empty()) {
    size_t taken = 1;
    char byte = text.front();
    if (byte == '%') {
      unsigned char code = 0;
      const std::string_view digits = text.substr(1, kEscape - 1);
      const char* const end = digits.data() + digits.size();
      const char* const read = std::from_chars(digits.data(), end, code, 16).ptr;
      if (digits.size() != kEscape - 1 || read != end) return std::nullopt;
      byte = static_cast<char>(code);
      taken = kEscape;
    }
    decoded.push_back(byte);
    text.remove_prefix(taken);
  }
  return decoded;
}

bool IsControl(char byte) {
  const auto code = static_cast<unsigned char>(byte);
  return code < 0x20 || code == 0x7f;
}

// A servable has the name of its folder, so a name must not lead out of the folder above.
bool IsFolderName(std::string_view name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string_view::npos &&
         std::ranges::none_of(name, IsControl) && simdjson::validate_utf8(name.data(), name.size());
}

Status NoSuchPath(std::string_view path) {
  return NotFound(StrCat("there is no '", path,
                         "', there are GET /v2/health/live, /v2/health/ready ",
                         "and /v2/status, and POST ", kModels, "{servable}/{action} with one of ",
                         "the actions ", StrJoin(kAdminActions, ", ")));
}

}  // namespace

Result<AdminTarget> ParseAdminPath(std::string_view path) {
  if (!path.starts_with(kModels)) return NoSuchPath(path);
  const std::string_view rest = path.substr(kModels.size());
  const size_t slash = rest.find('/');
  if (slash == std::string_view::npos) return NoSuchPath(path);
  const std::string_view name = rest.substr(0, slash);
  const std::string_view action = rest.substr(slash + 1);
  if (std::ranges::find(kAdminActions, action) == std::end(kAdminActions)) return NoSuchPath(path);
  std::optional<std::string> servable = DecodePercent(name);
  if (!servable.has_value() || !IsFolderName(*servable)) {
    return InvalidArgument(StrCat("'", name, "' in ", path, " is no name of a servable"));
  }
  return AdminTarget{*std::move(servable), std::string(action)};
}

}  // namespace pipeserve
