#include "server/rest_url.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <system_error>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

Result<uint64_t> ParseVersion(std::string_view text) {
  int64_t version = 0;
  const auto error = std::from_chars(text.data(), text.data() + text.size(), version).ec;
  if (error == std::errc::invalid_argument) {
    return InvalidArgument(StrCat(
        "please check url, the keyword:[version] value invalid, request version: '", text, "'"));
  }
  if (error != std::errc() || version < 0 || version >= std::numeric_limits<uint32_t>::max()) {
    return InvalidArgument(
        StrCat("please check url, version number range failed, request version number ", text));
  }
  return static_cast<uint64_t>(version);
}

// Takes the next non-empty segment off the front of `path`.
std::optional<std::string_view> NextSegment(std::string_view* path) {
  while (!path->empty()) {
    const std::string_view segment = path->substr(0, path->find('/'));
    path->remove_prefix(std::min(segment.size() + 1, path->size()));
    if (!segment.empty()) return segment;
  }
  return std::nullopt;
}

}  // namespace

Result<RestTarget> ParseRestUrl(std::string_view url) {
  url = url.substr(0, url.find_first_of("?#"));
  const size_t colon = url.find(':');
  std::string_view path = url.substr(0, colon);
  RestTarget target;
  bool has_model = false;
  std::optional<std::string_view> version;
  while (const auto segment = NextSegment(&path)) {
    if (*segment == "model" && !has_model) {
      has_model = true;
      target.servable = NextSegment(&path).value_or("");
    } else if (*segment == "version" && !version.has_value()) {
      version = NextSegment(&path).value_or("");
    }
  }
  if (!has_model) return InvalidArgument("please check url, the keyword:[model] must contain.");
  if (colon == std::string_view::npos) {
    return InvalidArgument("please check url, the keyword:[service method] must contain.");
  }
  target.method = url.substr(colon + 1);
  if (target.servable.empty() || target.method.empty()) {
    return InvalidArgument(
        "please check url, the values of the keywords:[model] and [service method] must not be "
        "empty.");
  }
  if (version.has_value()) {
    PIPESERVE_ASSIGN_OR_RETURN(target.version, ParseVersion(*version));
  }
  return target;
}

}  // namespace pipeserve
