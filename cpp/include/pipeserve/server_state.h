// What a server is doing at one moment, for whoever operates it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeserve/agent_group_state.h"

namespace [[gnu::visibility("default")]] pipeserve {

struct ServableState {
  std::string name = {};
  uint64_t version = 0;
  // As in the V2 protocol: "LOADING" (not called yet), "READY", "UNAVAILABLE" (it has been, but
  // cannot be called at this moment), "UNLOADING".
  std::string state = {};
  std::string reason = {};                    // Of LOADING and UNAVAILABLE, where it is known.
  bool is_default = false;                    // Requests that name no version come to it.
  size_t waiting = 0;                         // Requests that wait for their turn.
  size_t running = 0;                         // Requests that run.
  size_t max_inflight = 0;                    // As many may.
  std::vector<std::string> callables = {};    // What clients may call.
  std::optional<AgentGroupState> group = {};  // Of a distributed servable.
};

struct ServerState {
  bool ready = false;   // Every servable that requests come to without naming a version is READY.
  size_t requests = 0;  // That wait or run, of all servables.
  size_t max_requests = 0;
  size_t bytes = 0;  // Of their inputs.
  size_t max_bytes = 0;
  std::string grpc_address = {};  // Of the doors that are open.
  std::string rest_address = {};
  std::string admin_address = {};
  std::vector<ServableState> servables = {};  // By name and version.
};

// The same as an object of JSON, with these names.
std::string ToJson(const ServerState& state);

}  // namespace pipeserve
