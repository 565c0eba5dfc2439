#include "pipeserve/server_state.h"

#include <nlohmann/json.hpp>

namespace pipeserve {
namespace {

using Json = nlohmann::ordered_json;

Json Write(const AgentState& agent) {
  return {{"rank", agent.rank},
          {"ip", agent.ip},
          {"device_id", agent.device_id},
          {"state", agent.state},
          {"peer_address", agent.peer_address},
          {"device", agent.device}};
}

Json Write(const AgentGroupState& group) {
  Json agents = Json::array();
  for (const AgentState& agent : group.agents) agents.push_back(Write(agent));
  return {{"address", group.address},       {"phase", group.phase},
          {"epoch", group.epoch},           {"epoch_count", group.epoch_count},
          {"stage_size", group.stage_size}, {"agents", std::move(agents)}};
}

Json Write(const ServableState& servable) {
  Json written = {{"name", servable.name},
                  {"version", servable.version},
                  {"state", servable.state},
                  {"reason", servable.reason},
                  {"is_default", servable.is_default},
                  {"waiting", servable.waiting},
                  {"running", servable.running},
                  {"max_inflight", servable.max_inflight},
                  {"callables", servable.callables}};
  if (servable.group.has_value()) written["group"] = Write(*servable.group);
  return written;
}

}  // namespace

std::string ToJson(const ServerState& state) {
  Json servables = Json::array();
  for (const ServableState& servable : state.servables) servables.push_back(Write(servable));
  const Json written = {{"ready", state.ready},
                        {"requests", state.requests},
                        {"max_requests", state.max_requests},
                        {"bytes", state.bytes},
                        {"max_bytes", state.max_bytes},
                        {"grpc_address", state.grpc_address},
                        {"rest_address", state.rest_address},
                        {"admin_address", state.admin_address},
                        {"servables", std::move(servables)}};
  // Texts come from files and agents: what is no UTF-8 in them is replaced.
  return written.dump(-1, ' ', /*ensure_ascii=*/false, Json::error_handler_t::replace);
}

}  // namespace pipeserve
