#include "pipeserve/server_state.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace pipeserve {
namespace {

TEST(ServerStateTest, IsWrittenAsJson) {
  ServerState state{.ready = true, .requests = 3, .max_requests = 10'000, .grpc_address = "a:1"};
  ServableState servable{.name = "lm", .version = 2, .state = "LOADING", .reason = "soon"};
  servable.callables = {"chat", "embed"};
  servable.group = AgentGroupState{.address = "b:2", .phase = "forming", .epoch = 7};
  servable.group->agents.push_back({.rank = 0, .ip = "10.0.0.1", .state = "joined"});
  state.servables = {servable, {.name = "small", .version = 1}};
  const auto json = nlohmann::json::parse(ToJson(state));
  EXPECT_EQ(json["ready"], true);
  EXPECT_EQ(json["requests"], 3);
  EXPECT_EQ(json["grpc_address"], "a:1");
  const auto& first = json["servables"][0];
  EXPECT_EQ(first["state"], "LOADING");
  EXPECT_EQ(first["reason"], "soon");
  EXPECT_EQ(first["callables"], (std::vector<std::string>{"chat", "embed"}));
  EXPECT_EQ(first["group"]["epoch"], 7);
  EXPECT_EQ(first["group"]["agents"][0]["state"], "joined");
  EXPECT_FALSE(json["servables"][1].contains("group"));
}

TEST(ServerStateTest, TextThatIsNoUtf8IsReplaced) {
  ServerState state;
  state.servables.push_back({.name = "lm", .reason = "no \xff"});
  EXPECT_EQ(nlohmann::json::parse(ToJson(state))["servables"][0]["reason"], "no \uFFFD");
}

}  // namespace
}  // namespace pipeserve
