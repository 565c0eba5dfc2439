#include "server/rest_request.h"

#include <simdjson.h>

#include <utility>

#include "base/str_cat.h"
#include "server/rest_tensor.h"
#include "wire/ms_tensor.h"

namespace pipeserve {
namespace {

namespace dom = simdjson::dom;

// Lists and objects in each other. A tensor of all dimensions that there may be needs 11.
constexpr size_t kMaxJsonDepth = 64;

Result<Tensor> ParseInput(std::string_view name, const dom::element& value) {
  if (name.empty()) return InvalidArgument("string key is empty");
  PIPESERVE_ASSIGN_OR_RETURN(Tensor tensor, TensorFromJson(value));
  PIPESERVE_RETURN_IF_ERROR(
      CheckRequestTensor(name, tensor.dtype(), tensor.shape().dims(), tensor.byte_size(), 1));
  return tensor;
}

Result<NamedInstance> ParseInstance(const dom::object& object) {
  NamedInstance instance;
  for (const dom::key_value_pair field : object) {
    PIPESERVE_ASSIGN_OR_RETURN(Tensor tensor, ParseInput(field.key, field.value));
    instance.emplace_back(std::string(field.key), std::move(tensor));
  }
  return instance;
}

Result<std::vector<NamedInstance>> ParseInstanceList(const dom::array& list) {
  std::vector<NamedInstance> instances;
  for (const dom::element element : list) {
    dom::object object;
    if (element.get(object) != simdjson::SUCCESS) {
      return InvalidArgument(instances.empty() ? "instances no key mode is not supported"
                                               : "json array, instance is not object type");
    }
    if (object.begin() == object.end()) {
      return InvalidArgument("json array, instance is object type, but no value");
    }
    PIPESERVE_ASSIGN_OR_RETURN(NamedInstance instance, ParseInstance(object));
    instances.push_back(std::move(instance));
  }
  if (instances.empty()) return InvalidArgument("instances value is array type, but no value");
  return instances;
}

Result<std::vector<NamedInstance>> ParseInstances(const dom::element& value) {
  dom::array list;
  if (value.get(list) == simdjson::SUCCESS) return ParseInstanceList(list);
  dom::object object;
  if (value.get(object) != simdjson::SUCCESS) {
    return InvalidArgument("instances no key mode is not supported");
  }
  if (object.begin() == object.end()) return InvalidArgument("json object, value is empty");
  PIPESERVE_ASSIGN_OR_RETURN(NamedInstance instance, ParseInstance(object));
  return std::vector<NamedInstance>{std::move(instance)};
}

Result<dom::element> FindInstances(const dom::element& root) {
  dom::element found;
  size_t count = 0;
  dom::object object;
  if (root.get(object) == simdjson::SUCCESS) {
    for (const dom::key_value_pair field : object) {
      if (field.key != "instances") continue;
      found = field.value;
      ++count;
    }
  }
  if (count == 1) return found;
  return InvalidArgument(
      StrCat("key 'instances' expects to exist once, but actually ", count, " times"));
}

}  // namespace

Result<std::vector<NamedInstance>> ParseRestBody(const std::string& body) {
  dom::parser parser;
  dom::element root;
  simdjson::error_code error = parser.allocate(body.size(), kMaxJsonDepth);
  if (error == simdjson::SUCCESS) error = parser.parse(body).get(root);
  if (error != simdjson::SUCCESS) {
    return InvalidArgument(StrCat("Illegal JSON format. ", simdjson::error_message(error)));
  }
  Result<dom::element> found = FindInstances(root);
  Result<std::vector<NamedInstance>> instances =
      found.ok() ? ParseInstances(*found) : found.status();
  if (instances.ok()) return instances;
  return InvalidArgument(StrCat("Parser request failed, ", instances.status().message()));
}

}  // namespace pipeserve
