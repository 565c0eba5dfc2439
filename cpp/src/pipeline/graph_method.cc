// Methods that are one graph.
#include <utility>

#include "pipeserve/servable.h"

namespace pipeserve {
namespace {

std::vector<DataSource> AllOf(Phase phase, size_t count) {
  std::vector<DataSource> sources(count);
  for (size_t i = 0; i < count; ++i) sources[i] = {phase, static_cast<int>(i)};
  return sources;
}

}  // namespace

MethodSpec GraphMethod(std::string name, int subgraph, std::vector<std::string> input_names,
                       std::vector<std::string> output_names) {
  MethodSpec method;
  method.name = std::move(name);
  method.graph = {subgraph, AllOf(Phase::kInput, input_names.size()),
                  static_cast<int>(output_names.size())};
  method.outputs = AllOf(Phase::kPredict, output_names.size());
  method.input_names = std::move(input_names);
  method.output_names = std::move(output_names);
  return method;
}

}  // namespace pipeserve
