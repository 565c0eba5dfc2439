#include "graph/weights.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "base/str_cat.h"
#include "graph/mindir_tensor.h"
#include "graph/model_bytes.h"
#include "mindir.pb.h"

namespace pipeserve {
namespace {

using std::filesystem::path;

constexpr std::string_view kSplitSuffix = "_graph";
// Kernels read weights in whole cache lines.
constexpr uint64_t kAlignment = 64;

// True when the path stays below the folder that it is relative to.
bool StaysInside(const path& location) {
  if (location.empty() || !location.is_relative()) return false;
  return std::find(location.begin(), location.end(), path("..")) == location.end();
}

// Loads weights one by one, each file of weights once.
class WeightLoader {
 public:
  WeightLoader(const path& model, const std::optional<Decryption>& decryption)
      : folder_(model.parent_path()), decryption_(decryption) {}

  Status Take(mindir::TensorProto& proto) {
    Result<Tensor> tensor = proto.has_external_data() ? LoadExternal(proto) : TensorOf(proto);
    if (!tensor.ok()) return tensor.status();
    weights_.push_back({proto.name(), *std::move(tensor)});
    proto.Clear();
    return OkStatus();
  }

  Status TakeAll(mindir::GraphProto& graph) {
    for (mindir::TensorProto& proto : *graph.mutable_parameter()) {
      PIPESERVE_RETURN_IF_ERROR(Take(proto));
    }
    graph.clear_parameter();
    return OkStatus();
  }

  std::vector<Weight> Release() { return std::move(weights_); }

 private:
  // The bytes of a file of weights of 2.x.
  Result<Buffer> FileAt(const std::string& location) {
    const auto known = files_.find(location);
    if (known != files_.end()) return known->second;
    if (!StaysInside(location)) {
      return InvalidArgument(StrCat("its values are at \"", Printable(location),
                                    "\", a path below the model's folder was wanted"));
    }
    Result<ModelBytes> file = ReadModelBytes(folder_ / location, decryption_);
    if (!file.ok()) {
      return file.status().WithContext(StrCat("weights file ", (folder_ / location).string()));
    }
    if (file->bytes.size() == 0 || *file->bytes.data() != std::byte{1}) {
      return InvalidArgument(StrCat(
          "weights file ", (folder_ / location).string(), " is ",
          file->decrypted ? "damaged, or the key is wrong" : "damaged or not little-endian"));
    }
    return files_.emplace(location, file->bytes).first->second;
  }

  Result<Tensor> LoadExternal(const mindir::TensorProto& proto) {
    const std::string name = Printable(proto.name());
    PIPESERVE_ASSIGN_OR_RETURN(const TensorInfo info, TensorInfoOf(proto, proto.name()));
    Result<Buffer> found = FileAt(proto.external_data().location());
    if (!found.ok()) return found.status().WithContext(name);
    const int64_t offset = proto.external_data().offset();
    const int64_t length = proto.external_data().length();
    const auto size = static_cast<int64_t>(found->size());
    if (offset < 0 || length < 0 || offset > size || length > size - offset) {
      return InvalidArgument(
          StrCat(name, " is ", length, " bytes at ", offset, ", its weights file has ", size));
    }
    if (length != info.byte_size()) {
      return InvalidArgument(StrCat(name, " is ", info.ToString(), " and takes ", info.byte_size(),
                                    " bytes, the model says ", length));
    }
    Buffer values = found->Slice(static_cast<size_t>(offset), static_cast<size_t>(length));
    if (static_cast<uint64_t>(offset) % kAlignment != 0) values = Buffer::CopyOf(values.bytes());
    return Tensor(info.dtype, info.shape, std::move(values));
  }

  path folder_;
  const std::optional<Decryption>& decryption_;
  std::map<std::string, Buffer> files_;
  std::vector<Weight> weights_;
};

bool ReadsWeights(const mindir::GraphProto& graph) {
  return std::any_of(graph.node().begin(), graph.node().end(), [](const mindir::NodeProto& node) {
    return node.op_type() == "Load" || node.op_type().starts_with("REF::Load:");
  });
}

// NAME_variables beside NAME_graph.mindir; nothing for a file of another name.
std::optional<path> VariablesFolder(const path& model) {
  const std::string stem = model.stem().string();
  if (!stem.ends_with(kSplitSuffix)) return std::nullopt;
  return model.parent_path() / (stem.substr(0, stem.size() - kSplitSuffix.size()) + "_variables");
}

// Reads data_0, data_1, ... of 1.x, each a graph that has only parameters.
Status TakeVariables(const path& folder, const std::optional<Decryption>& decryption,
                     WeightLoader& loader) {
  for (int i = 0;; ++i) {
    const path file = folder / StrCat("data_", i);
    std::error_code error;
    if (i > 0 && !std::filesystem::exists(file, error)) return OkStatus();
    const std::string context = StrCat("weights file ", file.string());
    const Result<ModelBytes> bytes = ReadModelBytes(file, decryption);
    if (!bytes.ok()) return bytes.status().WithContext(context);
    mindir::GraphProto graph;
    PIPESERVE_RETURN_IF_ERROR(ParseMessage(*bytes, graph).WithContext(context));
    for (const mindir::TensorProto& proto : graph.parameter()) {
      if (!proto.has_external_data()) continue;
      return InvalidArgument(StrCat(context, " points at yet another file"));
    }
    PIPESERVE_RETURN_IF_ERROR(loader.TakeAll(graph).WithContext(context));
  }
}

}  // namespace

Result<std::vector<Weight>> TakeWeights(mindir::GraphProto& graph, const path& model,
                                        const std::optional<Decryption>& decryption) {
  WeightLoader loader(model, decryption);
  const std::optional<path> folder = VariablesFolder(model);
  if (graph.parameter().empty() && folder.has_value() && ReadsWeights(graph)) {
    PIPESERVE_RETURN_IF_ERROR(TakeVariables(*folder, decryption, loader));
  } else {
    PIPESERVE_RETURN_IF_ERROR(loader.TakeAll(graph));
  }
  return loader.Release();
}

}  // namespace pipeserve
