// Model files: MindIR in and out, whatever the encoding, the place of the weights or the cipher.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "graph/graph.h"

namespace pipeserve {

enum class DecryptMode { kAesGcm, kAesCbc };

struct Decryption {
  std::string key;  // 16, 24 or 32 raw bytes.
  DecryptMode mode = DecryptMode::kAesGcm;
};

// Members of each named group that a rank belongs to (group_config.pb).
using GroupMap = std::map<std::string, std::vector<int32_t>>;

// Reads a group file; an empty one names no group. Errors: kNotFound, kInvalidArgument.
Result<GroupMap> ReadGroupFile(const std::filesystem::path& path);
Status WriteGroupFile(const std::filesystem::path& path, const GroupMap& groups);

struct ReadOptions {
  std::optional<Decryption> decryption;
  GroupMap groups;    // From the rank's group file.
  int rank_size = 1;  // Ranks of the servable; what a world group has.
};

// Reads a MindIR file (1.3 and 2.x encodings, inline or split weights, encrypted or not) and
// validates it with InferShapes.
//
// Errors, all naming the file: kNotFound (no such file, or the variables of NAME_graph.mindir are
// missing), kInvalidArgument (truncated or corrupt, encrypted and no key or a wrong one, an edge
// that nothing defines, REF:: without its primitive, weights of another size than their shape,
// a group that neither the world nor the group file knows), kUnimplemented (an operator or data
// type that is not supported, named; a file for Ascend, *.om).
Result<Graph> ReadMindir(const std::filesystem::path& path, const ReadOptions& options = {});

// The same for the bytes of a file that are in memory; `path` is what messages call it, and split
// weights lie beside it.
Result<Graph> ParseMindir(Buffer bytes, const std::filesystem::path& path,
                          const ReadOptions& options = {});

// Writes `graph` in the 1.3 encoding, weights inline, readable by MindSpore.
Status WriteMindir(const Graph& graph, const std::filesystem::path& path);

}  // namespace pipeserve
