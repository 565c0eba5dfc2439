// What a check tells: its part of the document, and how far it is.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "pipeserve/status.h"

namespace pipeserve::ascend::check {

using Json = nlohmann::ordered_json;

// What was found, and whether all was well.
inline Json Passed(Json found = Json::object()) {
  found["ok"] = true;
  return found;
}
inline Json Failed(const Status& status, Json found = Json::object()) {
  found["ok"] = false;
  found["error"] = status.ToString();
  return found;
}
inline Json PartOf(const Status& status, Json found) {
  return status.ok() ? Passed(std::move(found)) : Failed(status, std::move(found));
}

// Of what the product or the release has not; no failure.
inline Json Unsupported(const Status& status) { return {{"unsupported", status.ToString()}}; }

// The first failure among parts of a part.
inline Status FirstFailure(const Json& parts) {
  for (const auto& [name, part] : parts.items()) {
    if (!part.is_object() || !part.contains("ok") || part["ok"] == true) continue;
    return Internal(name + ": " + part["error"].get<std::string>());
  }
  return OkStatus();
}

}  // namespace pipeserve::ascend::check
