// ReadMindir and ParseMindir: bytes, then message, then weights, then graph.
#include "base/str_cat.h"
#include "graph/lowering.h"
#include "graph/model_bytes.h"
#include "graph/model_file.h"
#include "graph/weights.h"
#include "mindir.pb.h"

namespace pipeserve {
namespace {

// Every model file begins with the tag of ir_version.
constexpr std::byte kFirstByte{0x0A};

std::string Context(const std::filesystem::path& path) {
  return StrCat("model file ", path.string());
}

Result<Graph> Parse(Buffer bytes, const std::filesystem::path& path, const ReadOptions& options) {
  mindir::ModelProto model;
  {
    PIPESERVE_ASSIGN_OR_RETURN(const ModelBytes file,
                               DecryptModelBytes(std::move(bytes), options.decryption));
    if (file.bytes.size() == 0) return InvalidArgument("is empty");
    if (file.decrypted && *file.bytes.data() != kFirstByte) {
      return InvalidArgument("does not decrypt to a model: the key or mode is wrong");
    }
    PIPESERVE_RETURN_IF_ERROR(ParseMessage(file, model));
  }
  if (!model.has_graph()) return InvalidArgument("is no MindIR file: it has no graph");
  if (model.has_little_endian() && !model.little_endian()) {
    return Unimplemented("has big-endian values, which are not supported");
  }
  PIPESERVE_ASSIGN_OR_RETURN(std::vector<Weight> weights,
                             TakeWeights(*model.mutable_graph(), path, options.decryption));
  return LowerGraph(model, std::move(weights), options);
}

}  // namespace

Result<Graph> ParseMindir(Buffer bytes, const std::filesystem::path& path,
                          const ReadOptions& options) {
  Result<Graph> graph = Parse(std::move(bytes), path, options);
  if (!graph.ok()) return graph.status().WithContext(Context(path));
  return graph;
}

Result<Graph> ReadMindir(const std::filesystem::path& path, const ReadOptions& options) {
  if (path.extension() == ".om") {
    return Unimplemented(StrCat(Context(path), " was compiled for Ascend and runs there alone"));
  }
  Result<Buffer> bytes = ReadFileBytes(path);
  if (!bytes.ok()) return bytes.status().WithContext(Context(path));
  return ParseMindir(*std::move(bytes), path, options);
}

}  // namespace pipeserve
