#include "rank_table.h"

#include <charconv>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

namespace pipeserve::ascend::sim {
namespace {

using Json = nlohmann::json;

class Reader {
 public:
  explicit Reader(RankTable& table) : table_(table) {}

  void Read(const Json& root) {
    if (root.contains("super_pod_list") || root.contains("group_list")) {
      return Add("the form of the table is not the one of version 1.0");
    }
    if (Text(root, "version") != "1.0") Add("version is not \"1.0\"");
    if (Text(root, "status") != "completed") Add("status is not \"completed\"");
    const Json servers = root.value("server_list", Json::array());
    if (Number(root, "server_count") != static_cast<int>(servers.size())) {
      Add("server_count is not the number of servers");
    }
    std::set<std::string> ids;
    for (const Json& server : servers) {
      const std::string id = Text(server, "server_id");
      constexpr size_t kLongest = 64;
      if (id.empty() || id.size() > kLongest) Add("a server_id is empty or too long");
      if (!ids.insert(id).second) Add("server_id " + id + " is there twice");
      ReadServer(server, servers.size() > 1);
    }
    CheckRanks();
  }

 private:
  void ReadServer(const Json& server, bool needs_ip) {
    std::set<int> devices, ranks;
    for (const Json& device : server.value("device", Json::array())) {
      const int id = Number(device, "device_id"), rank = Number(device, "rank_id");
      if (!devices.insert(id).second) Add("device_id " + std::to_string(id) + " is there twice");
      if (!by_rank_.emplace(rank, id).second) {
        Add("rank_id " + std::to_string(rank) + " is there twice");
      }
      ranks.insert(rank);
      const std::string ip = device.contains("device_ip") ? Text(device, "device_ip") : "";
      if (ip.empty() && needs_ip) Add("a device of several servers has no device_ip");
      if (!ip.empty() && !ips_.insert(ip).second) Add("device_ip " + ip + " is there twice");
    }
    if (ranks.empty() || *ranks.rbegin() - *ranks.begin() + 1 != static_cast<int>(ranks.size())) {
      Add("the ranks of a server do not follow each other");
    }
  }

  void CheckRanks() {
    int next = 0;
    for (const auto& [rank, device] : by_rank_) {
      if (rank != next++) Add("the ranks are not 0, 1, 2, ... without holes");
      table_.devices.push_back(device);
    }
  }

  // Every value is a string.
  std::string Text(const Json& object, const char* key) {
    const auto found = object.find(key);
    if (found != object.end() && found->is_string()) return *found;
    Add(std::string(key) + (found == object.end() ? " is missing" : " is not a string"));
    return {};
  }

  int Number(const Json& object, const char* key) {
    const std::string text = Text(object, key);
    int number = -1;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || number < 0) {
      Add(std::string(key) + " is not a number");
      return -1;
    }
    return number;
  }

  void Add(const std::string& wrong) { table_.wrong.push_back(wrong); }

  RankTable& table_;
  std::map<int, int> by_rank_;
  std::set<std::string> ips_;
};

}  // namespace

RankTable ReadRankTable(const std::string& path) {
  RankTable table;
  std::ifstream file(path, std::ios::binary);
  if (!file) return table;
  std::ostringstream content;
  content << file.rdbuf();
  table.readable = true;
  table.content = content.str();
  const Json root = Json::parse(table.content, nullptr, /*allow_exceptions=*/false);
  if (root.is_discarded() || !root.is_object()) {
    table.wrong.push_back("it is no JSON object");
    return table;
  }
  Reader(table).Read(root);
  return table;
}

}  // namespace pipeserve::ascend::sim
