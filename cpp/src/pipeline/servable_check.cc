#include "pipeline/servable_check.h"

#include <array>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/str_cat.h"

namespace pipeserve {
namespace {

// How many values each phase of one method has, indexed by Phase.
using PhaseSizes = std::array<size_t, 4>;

// The step that reads values, as the two kinds of message name it.
struct Reader {
  std::string_view step;   // "servable"
  std::string_view phase;  // "Predict"; empty for the method's own outputs.
};

size_t OutputCount(const HostStep& step) {
  return step.function == nullptr ? 0 : static_cast<size_t>(step.output_count);
}

PhaseSizes SizesOf(const MethodSpec& method) {
  return {method.input_names.size(), OutputCount(method.preprocess),
          static_cast<size_t>(method.graph.output_count), OutputCount(method.postprocess)};
}

Status CheckNames(std::string_view owner, std::string_view what,
                  const std::vector<std::string>& names) {
  std::set<std::string_view> seen;
  for (const std::string& name : names) {
    if (name.empty()) return InvalidArgument(StrCat(owner, " has an ", what, " without a name"));
    if (!seen.insert(name).second) {
      return InvalidArgument(StrCat(owner, ", ", what, " '", name, "' should not be repeated"));
    }
  }
  return OkStatus();
}

// For methods and for pipelines, which carry the same kinds of names.
template <typename Spec>
Status CheckDefinitions(std::string_view kind, const std::vector<Spec>& specs) {
  std::set<std::string_view> seen;
  for (const Spec& spec : specs) {
    if (spec.name.empty()) return InvalidArgument(StrCat(kind, " without a name"));
    const std::string owner = StrCat(kind, " ", spec.name);
    if (!seen.insert(spec.name).second) {
      return InvalidArgument(StrCat(owner, " has been registered more than once."));
    }
    PIPESERVE_RETURN_IF_ERROR(CheckNames(owner, "input", spec.input_names));
    PIPESERVE_RETURN_IF_ERROR(CheckNames(owner, "output", spec.output_names));
  }
  return OkStatus();
}

// `latest` is the last phase whose values `reader` may use.
Status CheckSources(const MethodSpec& method, const Reader& reader,
                    const std::vector<DataSource>& sources, Phase latest, const PhaseSizes& sizes) {
  for (size_t i = 0; i < sources.size(); ++i) {
    const DataSource& source = sources[i];
    if (source.phase > latest) {
      return InvalidArgument(StrCat("method ", method.name, ", the data of ", reader.step, " ", i,
                                    "th input cannot not come from '", PhaseName(source.phase),
                                    "'"));
    }
    const size_t size = sizes[static_cast<size_t>(source.phase)];
    if (source.index >= 0 && static_cast<size_t>(source.index) < size) continue;
    const std::string what = reader.phase.empty() ? StrCat("method ", i, "th output")
                                                  : StrCat(reader.phase, " ", i, "th input");
    const std::string_view kind = source.phase == Phase::kInput ? "input" : "output";
    const char* name = PhaseName(source.phase);
    return InvalidArgument(
        StrCat("method ", method.name, ", the ", what, " uses ", name, " ", source.index, "th ",
               kind, source.index < 0 ? ", that is less than 0; " : ", that is greater than ",
               "the ", name, " ", kind, "s size ", size));
  }
  return OkStatus();
}

Status CheckHostStep(const MethodSpec& method, std::string_view name, const HostStep& step) {
  if (step.function == nullptr || step.output_count >= 0) return OkStatus();
  return InvalidArgument(
      StrCat("method ", method.name, ", ", name, " declares ", step.output_count, " outputs"));
}

Status CheckGraphCount(const MethodSpec& method, std::string_view what, int64_t registered,
                       size_t defined) {
  if (registered >= 0 && static_cast<size_t>(registered) == defined) return OkStatus();
  return InvalidArgument(StrCat(
      "The ", what, " count ", registered, " registered in method not equal to the count ", defined,
      " defined in servable, method ", method.name, ", subgraph ", method.graph.subgraph));
}

Status CheckGraphStep(const MethodSpec& method, std::span<const GraphSignature> graphs) {
  const GraphStep& step = method.graph;
  if (step.subgraph < 0 || static_cast<size_t>(step.subgraph) >= graphs.size()) {
    return InvalidArgument(StrCat("Total Load Graph number is ", graphs.size(), ", Method ",
                                  method.name, " subgrah is ", step.subgraph));
  }
  const GraphSignature& graph = graphs[static_cast<size_t>(step.subgraph)];
  PIPESERVE_RETURN_IF_ERROR(CheckGraphCount(
      method, "inputs", static_cast<int64_t>(step.inputs.size()), graph.inputs.size()));
  return CheckGraphCount(method, "outputs", step.output_count, graph.outputs.size());
}

Status CheckMethod(const MethodSpec& method, std::span<const GraphSignature> graphs) {
  PIPESERVE_RETURN_IF_ERROR(CheckGraphStep(method, graphs));
  PIPESERVE_RETURN_IF_ERROR(CheckHostStep(method, "preprocess", method.preprocess));
  PIPESERVE_RETURN_IF_ERROR(CheckHostStep(method, "postprocess", method.postprocess));
  const PhaseSizes sizes = SizesOf(method);
  if (method.preprocess.function != nullptr) {
    PIPESERVE_RETURN_IF_ERROR(CheckSources(method, {"preprocess", "Preprocess"},
                                           method.preprocess.inputs, Phase::kInput, sizes));
  }
  PIPESERVE_RETURN_IF_ERROR(CheckSources(method, {"servable", "Predict"}, method.graph.inputs,
                                         Phase::kPreprocess, sizes));
  if (method.postprocess.function != nullptr) {
    PIPESERVE_RETURN_IF_ERROR(CheckSources(method, {"postprocess", "Postprocess"},
                                           method.postprocess.inputs, Phase::kPredict, sizes));
  }
  if (method.outputs.size() != method.output_names.size()) {
    return InvalidArgument(StrCat("Method return output size ", method.outputs.size(),
                                  " not match registered ", method.output_names.size(), ", method ",
                                  method.name));
  }
  return CheckSources(method, {"method", ""}, method.outputs, Phase::kPostprocess, sizes);
}

}  // namespace

Status CheckServable(const ServableSpec& spec, std::span<const GraphSignature> graphs) {
  if (spec.name.empty()) return InvalidArgument("a servable without a name");
  if (spec.methods.empty() && spec.pipelines.empty()) {
    return InvalidArgument(StrCat("There is no method registered for servable ", spec.name));
  }
  PIPESERVE_RETURN_IF_ERROR(CheckDefinitions("Method", spec.methods));
  PIPESERVE_RETURN_IF_ERROR(CheckDefinitions("Pipeline", spec.pipelines));
  for (const MethodSpec& method : spec.methods) {
    PIPESERVE_RETURN_IF_ERROR(CheckMethod(method, graphs));
  }
  for (const PipelineSpec& pipeline : spec.pipelines) {
    if (pipeline.function == nullptr) {
      return InvalidArgument(StrCat("Pipeline ", pipeline.name, " has no function"));
    }
  }
  return OkStatus();
}

}  // namespace pipeserve
