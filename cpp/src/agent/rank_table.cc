#include "agent/rank_table.h"

#include <fstream>
#include <iterator>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

using Json = nlohmann::json;

constexpr size_t kMaxFileBytes = size_t{16} << 20;
// Devices of one machine.
constexpr int kCards = 8;

// Reads the ranks of one parsed table; every error names its file.
class TableReader {
 public:
  explicit TableReader(const std::string& path) : path_(path) {}

  Result<std::vector<RankPlace>> Read(const Json& table) {
    PIPESERVE_RETURN_IF_ERROR(table.contains("group_list") ? ReadGroups(table)
                                                           : ReadServers(table));
    return std::move(ranks_);
  }

 private:
  Status ReadServers(const Json& table) {
    PIPESERVE_ASSIGN_OR_RETURN(const Json* servers, Array(table, "server_list"));
    for (const Json& server : *servers) {
      PIPESERVE_ASSIGN_OR_RETURN(const std::string ip, Text(server, "server_id"));
      PIPESERVE_ASSIGN_OR_RETURN(const Json* devices, Array(server, "device"));
      for (const Json& device : *devices) PIPESERVE_RETURN_IF_ERROR(Add(ip, device, device));
    }
    return OkStatus();
  }

  Status ReadGroups(const Json& table) {
    PIPESERVE_ASSIGN_OR_RETURN(const Json* groups, Array(table, "group_list"));
    for (const Json& group : *groups) {
      PIPESERVE_ASSIGN_OR_RETURN(const Json* instances, Array(group, "instance_list"));
      for (const Json& instance : *instances) {
        PIPESERVE_ASSIGN_OR_RETURN(const Json* devices, Array(instance, "devices"));
        PIPESERVE_ASSIGN_OR_RETURN(const std::string ip, Text(instance, "server_id"));
        PIPESERVE_RETURN_IF_ERROR(Add(ip, devices->front(), instance));
      }
    }
    return OkStatus();
  }

  Status Add(const std::string& ip, const Json& device, const Json& rank) {
    PIPESERVE_ASSIGN_OR_RETURN(const int device_id, Number(device, "device_id"));
    PIPESERVE_ASSIGN_OR_RETURN(const int rank_id, Number(rank, "rank_id"));
    if (static_cast<size_t>(rank_id) != ranks_.size()) {
      return InvalidArgument(StrCat("device size not match rank_id in rank table file ", path_,
                                    ": expected rank_id ", ranks_.size(), ", got ", rank_id));
    }
    ranks_.push_back({.ip = ip, .device_id = device_id});
    return OkStatus();
  }

  // The non-empty member `key` of `object`, of the wanted JSON type.
  const Json* Find(const Json& object, const char* key) {
    if (!object.is_object()) return nullptr;
    const auto it = object.find(key);
    return it == object.end() || it->empty() ? nullptr : &*it;
  }

  Result<const Json*> Array(const Json& object, const char* key) {
    const Json* value = Find(object, key);
    if (value == nullptr || !value->is_array()) return Empty(key);
    return value;
  }

  Result<std::string> Text(const Json& object, const char* key) {
    const Json* value = Find(object, key);
    if (value == nullptr || !value->is_string()) return Empty(key);
    auto text = value->get<std::string>();
    if (text.empty()) return Empty(key);
    return text;
  }

  // A number written as a string, without sign or leading zeros.
  Result<int> Number(const Json& object, const char* key) {
    PIPESERVE_ASSIGN_OR_RETURN(const std::string text, Text(object, key));
    constexpr size_t kMaxDigits = 9;
    const bool canonical = text.size() <= kMaxDigits && (text == "0" || text[0] != '0') &&
                           text.find_first_not_of("0123456789") == std::string::npos;
    if (!canonical) {
      return InvalidArgument(
          StrCat(key, "attr is invalid argument in rank table file ", path_, ": '", text, "'"));
    }
    return std::stoi(text);
  }

  Status Empty(const char* key) {
    return InvalidArgument(StrCat(key, " attr is empty in rank table file ", path_));
  }

  const std::string& path_;
  std::vector<RankPlace> ranks_;
};

Status CheckDevices(const RankTable& table) {
  std::map<std::pair<std::string, int>, size_t> users;
  for (size_t rank = 0; rank < table.ranks.size(); ++rank) {
    const RankPlace& place = table.ranks[rank];
    const auto [user, is_new] = users.try_emplace({place.ip, place.device_id}, rank);
    if (!is_new) {
      return FailedPrecondition(
          StrCat("Check rank table config failed, device id repeatedly used by rank ", user->second,
                 " and rank ", rank, " in device ip ", place.ip));
    }
    if (place.device_id >= kCards) {
      return FailedPrecondition(
          StrCat("Check rank table config failed, device id cannot larger than 8, rank ", rank,
                 " has device id ", place.device_id));
    }
  }
  return OkStatus();
}

}  // namespace

Result<RankTable> ReadRankTable(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return NotFound(StrCat("failed to get realpath of rank table file ", path));
  std::string content(kMaxFileBytes + 1, '\0');
  file.read(content.data(), static_cast<std::streamsize>(content.size()));
  if (file.bad()) return InvalidArgument(StrCat("failed to read rank table file ", path));
  content.resize(static_cast<size_t>(file.gcount()));
  if (content.size() > kMaxFileBytes) {
    return InvalidArgument(StrCat("rank table file ", path, " is larger than 16 MiB"));
  }
  return ParseRankTable(std::move(content), path);
}

Result<RankTable> ParseRankTable(std::string content, const std::string& path) {
  Json json;
  try {
    json = Json::parse(content);
  } catch (const Json::exception& error) {
    return InvalidArgument(
        StrCat("parse rank table file ", path, " failed, parse error:", error.what()));
  }
  if (!json.is_object())
    return InvalidArgument(StrCat("rank table file ", path, " is not json object"));
  RankTable table;
  PIPESERVE_ASSIGN_OR_RETURN(table.ranks, TableReader(path).Read(json));
  table.content = std::move(content);
  return table;
}

Status CheckRankTable(const RankTable& table, int rank_size, int stage_size,
                      const std::string& path) {
  if (rank_size < 1 || stage_size < 1 || rank_size % stage_size != 0) {
    return FailedPrecondition(
        StrCat("Rank size must be an integral multiple of stage size, rank size: ", rank_size,
               ", stage size: ", stage_size));
  }
  if (table.ranks.size() != static_cast<size_t>(rank_size)) {
    return FailedPrecondition(StrCat("Rank size ", table.ranks.size(),
                                     " declared in rank table file '", path, "' not equal to ",
                                     rank_size, " declared in servable config"));
  }
  return CheckDevices(table);
}

}  // namespace pipeserve
