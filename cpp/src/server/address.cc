#include "server/address.h"

#include <charconv>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

constexpr std::string_view kUnixPrefix = "unix:";

}  // namespace

Result<HostPort> ParseHostPort(const std::string& address, std::string_view door) {
  const std::string what = StrCat(door, " address");
  const size_t colon = address.rfind(':');
  if (colon == std::string::npos) {
    return InvalidArgument(
        StrCat("Serving Error: The format of the ", what, " '", address, "' is illegal"));
  }
  if (colon == 0 || colon + 1 == address.size()) {
    return InvalidArgument(
        StrCat("Serving Error: Missing ip or port of the ", what, " '", address, "'"));
  }
  const char* end = address.data() + address.size();
  int64_t port = 0;
  const auto [parsed, error] = std::from_chars(address.data() + colon + 1, end, port);
  if (error == std::errc::invalid_argument || parsed != end) {
    return InvalidArgument(
        StrCat("Serving Error: The type of ", what, " '", address, "' port is not a number"));
  }
  if (error != std::errc() || port < 0 || port > 65535) {
    return InvalidArgument(StrCat("Serving Error: The port of the ", what, " '", address,
                                  "' is out of legal range [1 ~ 65535]"));
  }
  std::string host = address.substr(0, colon);
  // An IPv6 address has colons of its own.
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  return HostPort{std::move(host), static_cast<uint16_t>(port)};
}

bool IsUnixAddress(std::string_view address) { return address.starts_with(kUnixPrefix); }

Result<std::string> ResolveUnixAddress(const std::string& address) {
  const std::string path = address.substr(kUnixPrefix.size());
  if (path.empty()) {
    return InvalidArgument("Serving Error: Empty grpc server unix domain socket address");
  }
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  if (error) return InvalidArgument(StrCat("Serving Error: ", address, ": ", error.message()));
  return StrCat(kUnixPrefix, absolute.string());
}

}  // namespace pipeserve
