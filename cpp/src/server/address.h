// Addresses of the doors, checked in the original's words.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "pipeserve/status.h"

namespace pipeserve {

struct HostPort {
  std::string host;   // Without the brackets of an IPv6 address.
  uint16_t port = 0;  // 0: any free one.
};

// "host:port"; `door` ("Serving gRPC") is what error texts call it. Errors: kInvalidArgument.
Result<HostPort> ParseHostPort(const std::string& address, std::string_view door);

// "unix:<path>", as opposed to "host:port".
bool IsUnixAddress(std::string_view address);

// The same address with an absolute path. Errors: kInvalidArgument (no path).
Result<std::string> ResolveUnixAddress(const std::string& address);

}  // namespace pipeserve
