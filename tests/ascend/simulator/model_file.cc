#include "model_file.h"

#include <fstream>
#include <map>
#include <sstream>

namespace pipeserve::ascend::sim {
namespace {

using abi::AclDataType;

bool ReadTensor(std::istringstream& words, ModelTensor* tensor) {
  const std::map<std::string, AclDataType> types = {{"float32", AclDataType::kFloat},
                                                    {"float16", AclDataType::kFloat16}};
  std::string type, dims;
  if (!(words >> tensor->name >> type >> dims) || !types.contains(type)) return false;
  tensor->type = types.at(type);
  std::istringstream list(dims);
  for (std::string dim; std::getline(list, dim, ',');) tensor->dims.push_back(std::stoll(dim));
  return true;
}

bool IsMatMul(const Model& model) {
  if (model.inputs.size() != 2) return false;
  const auto &a = model.inputs[0].dims, &b = model.inputs[1].dims, &c = model.outputs[0].dims;
  return a.size() == 2 && b.size() == 2 && c.size() == 2 && a[1] == b[0] && a[0] == c[0] &&
         b[1] == c[1];
}

bool IsNeg(const Model& model) {
  return model.inputs.size() == 1 && model.inputs[0].dims == model.outputs[0].dims;
}

bool IsWhole(const Model& model) {
  if (model.outputs.size() != 1) return false;
  return model.operation == "matmul" ? IsMatMul(model) : IsNeg(model);
}

}  // namespace

size_t ModelTensor::size() const {
  size_t bytes = SizeOf(type);
  for (const int64_t dim : dims) {
    if (dim < 0) return 0;
    bytes *= static_cast<size_t>(dim);
  }
  return bytes;
}

std::shared_ptr<Model> ReadModel(const std::string& path, std::string* why) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) {
    *why = "cannot read " + path;
    return nullptr;
  }
  auto model = std::make_shared<Model>();
  bool good = line == "pipeserve-sim-model";
  while (good && std::getline(file, line)) {
    std::istringstream words(line);
    std::string verb;
    words >> verb;
    ModelTensor tensor;
    if (verb == "input" || verb == "output") {
      good = ReadTensor(words, &tensor);
      (verb == "input" ? model->inputs : model->outputs).push_back(tensor);
    } else {
      good = verb == "neg" || verb == "matmul";
      model->operation = verb;
    }
  }
  if (good && IsWhole(*model)) return model;
  *why = path + " is no model";
  return nullptr;
}

void Model::Run(const std::vector<const std::byte*>& from, std::byte* to) const {
  const AclDataType type = inputs[0].type;
  const auto at = [type](const std::byte* data, int64_t index) {
    return LoadReal(type, data + static_cast<size_t>(index) * SizeOf(type));
  };
  const auto put = [&](int64_t index, double value) {
    StoreReal(outputs[0].type, to + static_cast<size_t>(index) * SizeOf(outputs[0].type), value);
  };
  if (operation == "neg") {
    const auto count = static_cast<int64_t>(inputs[0].size() / SizeOf(type));
    for (int64_t i = 0; i < count; ++i) put(i, -at(from[0], i));
    return;
  }
  const int64_t inner = inputs[0].dims[1], columns = inputs[1].dims[1];
  for (int64_t row = 0; row < inputs[0].dims[0]; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      double sum = 0;
      for (int64_t i = 0; i < inner; ++i) {
        sum += at(from[0], row * inner + i) * at(from[1], i * columns + column);
      }
      put(row * columns + column, sum);
    }
  }
}

}  // namespace pipeserve::ascend::sim
