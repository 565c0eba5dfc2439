// Offline models.
#include <algorithm>
#include <cstring>

#include "calls.h"
#include "memory_check.h"
#include "model_file.h"

namespace pipeserve::ascend::sim {
namespace {

struct ModelDescObject final : Object {
  static constexpr Kind kKind = Kind::kModelDesc;
  ModelDescObject() : Object(kKind) {}
  std::shared_ptr<Model> model;
};

struct DataBufferObject final : Object {
  static constexpr Kind kKind = Kind::kDataBuffer;
  DataBufferObject() : Object(kKind) {}
  void* address = nullptr;
  size_t size = 0;
};

struct DatasetObject final : Object {
  static constexpr Kind kKind = Kind::kDataset;
  DatasetObject() : Object(kKind) {}
  std::vector<std::shared_ptr<DataBufferObject>> buffers;
  Point last_run;
};

bool IsBusy(const Call& call, const Point& run) {
  return run.stream != nullptr && !Covers(call.core.host_clock, run.stream->id(), run.task);
}

std::shared_ptr<Model> FindModel(Call& call, uint32_t id) {
  const auto found = call.core.models.find(id);
  if (found == call.core.models.end()) {
    call.Break("O1", codes::kInvalidModelId, Text(call.name(), " of no loaded model: ", id));
    return nullptr;
  }
  if (found->second->context != call.context()) {
    call.Break("O1", 0, Text(call.name(), " under another context than aclmdlLoadFromFile"));
  }
  return found->second;
}

// An input or output of a described model; null, and reported, when there is none.
const ModelTensor* FindTensor(Call& call, const void* handle, size_t index, bool input) {
  const auto desc = call.Find<ModelDescObject>(handle);
  if (desc == nullptr) return nullptr;
  if (desc->model != nullptr) {
    const auto& tensors = input ? desc->model->inputs : desc->model->outputs;
    if (index < tensors.size()) return &tensors[index];
  }
  call.Break("O3", codes::kInvalidParameter, Text(call.name(), " of number ", index));
  return nullptr;
}

size_t Count(Call& call, const void* handle, bool input) {
  const auto desc = call.Find<ModelDescObject>(handle);
  if (desc == nullptr || desc->model == nullptr) return 0;
  return input ? desc->model->inputs.size() : desc->model->outputs.size();
}

size_t Size(Call& call, const void* handle, size_t index, bool input) {
  const ModelTensor* const tensor = FindTensor(call, handle, index, input);
  return tensor == nullptr ? 0 : tensor->size();
}

abi::AclCode Dims(Call& call, const void* handle, size_t index, bool input, abi::ModelDims* dims) {
  const ModelTensor* const tensor = FindTensor(call, handle, index, input);
  if (tensor == nullptr || dims == nullptr) return Failure{codes::kInvalidParameter};
  std::memset(dims, 0, sizeof(*dims));
  tensor->name.copy(dims->name, sizeof(dims->name) - 1);
  dims->count = tensor->dims.size();
  std::copy(tensor->dims.begin(), tensor->dims.end(), dims->dims);
  return abi::AclCode::kSuccess;
}

abi::AclDataType Type(Call& call, const void* handle, size_t index, bool input) {
  const ModelTensor* const tensor = FindTensor(call, handle, index, input);
  return tensor == nullptr ? abi::AclDataType::kUndefined : tensor->type;
}

const char* Name(Call& call, const void* handle, size_t index, bool input) {
  const ModelTensor* const tensor = FindTensor(call, handle, index, input);
  return tensor == nullptr ? nullptr : tensor->name.c_str();
}

// The ranges of memory of a dataset, for the tensors of a model.
bool FindRanges(Call& call, const DatasetObject& dataset, const std::vector<ModelTensor>& tensors,
                Use use, std::vector<Range>* ranges) {
  if (dataset.buffers.size() != tensors.size()) {
    call.Break("O2", codes::kInvalidParameter,
               Text("a dataset of ", dataset.buffers.size(), " buffers, and the model has ",
                    tensors.size(), use == Use::kRead ? " inputs" : " outputs"));
    return false;
  }
  for (size_t i = 0; i < tensors.size(); ++i) {
    const DataBufferObject& buffer = *dataset.buffers[i];
    if (call.core.objects.Find<DataBufferObject>(buffer.handle<void>()) == nullptr) {
      call.Break("O2", codes::kInvalidParameter, "a data buffer of the dataset was destroyed");
      return false;
    }
    if (buffer.size != tensors[i].size()) {
      call.Break("O3", codes::kInvalidParameter,
                 Text("a data buffer of ", buffer.size, " bytes for ", tensors[i].name, " of ",
                      tensors[i].size()));
      return false;
    }
    auto block = FindDeviceMemory(call, "O2", "a data buffer", buffer.address, buffer.size);
    if (block == nullptr) return false;
    ranges->push_back(
        {std::move(block), static_cast<const std::byte*>(buffer.address), buffer.size, use});
  }
  return true;
}

Task MakeTask(Call& call, const std::shared_ptr<Model>& model, std::vector<Range> ranges) {
  Task task;
  task.function = call.name();
  task.ranges = std::move(ranges);
  task.run = [&core = call.core, model, ranges = task.ranges, origin = task.origin](Lock&) {
    std::vector<const std::byte*> inputs;
    for (const Range& range : ranges) {
      if (range.use != Use::kRead) continue;
      CheckWritten(core, "aclmdlExecuteAsync", range.begin, range.size, origin);
      inputs.push_back(core.device_memory.View(range.begin));
    }
    const Range& output = ranges.back();
    model->Run(inputs, core.device_memory.View(output.begin));
    core.device_memory.MarkWritten(output.begin, output.size);
    return 0;
  };
  return task;
}

}  // namespace

namespace calls {

AclCode aclmdlLoadFromFile(Call& call, const char* path, uint32_t* id) {
  if (path == nullptr || id == nullptr) {
    return call.Break("O1", codes::kInvalidParameter, "aclmdlLoadFromFile with a null pointer");
  }
  std::string why;
  const std::shared_ptr<Model> model = ReadModel(path, &why);
  if (model == nullptr) return call.Fail(codes::kInvalidFile, why);
  model->id = *id = call.core.next_model++;
  model->context = call.context();
  call.core.models[*id] = model;
  return AclCode::kSuccess;
}

AclCode aclmdlUnload(Call& call, uint32_t id) {
  const std::shared_ptr<Model> model = FindModel(call, id);
  if (model == nullptr) return Failure{codes::kInvalidModelId};
  if (IsBusy(call, model->last_run)) {
    call.Break("O1", 0, "aclmdlUnload of a model that the host has not waited for");
  }
  call.core.models.erase(id);
  return AclCode::kSuccess;
}

ModelDesc* aclmdlCreateDesc(Call& call) {
  return static_cast<ModelDesc*>(call.core.objects.Add(std::make_shared<ModelDescObject>()));
}

AclCode aclmdlGetDesc(Call& call, ModelDesc* handle, uint32_t id) {
  const auto desc = call.Find<ModelDescObject>(handle);
  if (desc == nullptr) return call.bad_handle();
  const auto found = call.core.models.find(id);
  if (found == call.core.models.end()) {
    return call.Break("O1", codes::kInvalidModelId, Text("aclmdlGetDesc of no loaded model: ", id));
  }
  desc->model = found->second;
  return AclCode::kSuccess;
}

AclCode aclmdlDestroyDesc(Call& call, ModelDesc* handle) {
  const auto desc = call.Find<ModelDescObject>(handle);
  if (desc == nullptr) return call.bad_handle();
  call.core.objects.Remove(*desc);
  return AclCode::kSuccess;
}

size_t aclmdlGetNumInputs(Call& call, ModelDesc* desc) { return Count(call, desc, true); }
size_t aclmdlGetNumOutputs(Call& call, ModelDesc* desc) { return Count(call, desc, false); }

size_t aclmdlGetInputSizeByIndex(Call& call, ModelDesc* desc, size_t index) {
  return Size(call, desc, index, true);
}
size_t aclmdlGetOutputSizeByIndex(Call& call, ModelDesc* desc, size_t index) {
  return Size(call, desc, index, false);
}

AclCode aclmdlGetInputDims(Call& call, const ModelDesc* desc, size_t index, ModelDims* dims) {
  return Dims(call, desc, index, true, dims);
}
AclCode aclmdlGetOutputDims(Call& call, const ModelDesc* desc, size_t index, ModelDims* dims) {
  return Dims(call, desc, index, false, dims);
}

AclDataType aclmdlGetInputDataType(Call& call, const ModelDesc* desc, size_t index) {
  return Type(call, desc, index, true);
}
AclDataType aclmdlGetOutputDataType(Call& call, const ModelDesc* desc, size_t index) {
  return Type(call, desc, index, false);
}

const char* aclmdlGetInputNameByIndex(Call& call, const ModelDesc* desc, size_t index) {
  return Name(call, desc, index, true);
}
const char* aclmdlGetOutputNameByIndex(Call& call, const ModelDesc* desc, size_t index) {
  return Name(call, desc, index, false);
}

Dataset* aclmdlCreateDataset(Call& call) {
  return static_cast<Dataset*>(call.core.objects.Add(std::make_shared<DatasetObject>()));
}

AclCode aclmdlDestroyDataset(Call& call, const Dataset* handle) {
  const auto dataset = call.Find<DatasetObject>(handle);
  if (dataset == nullptr) return call.bad_handle();
  if (IsBusy(call, dataset->last_run)) {
    call.Break("O2", 0, "aclmdlDestroyDataset of what a running model uses");
  }
  call.core.objects.Remove(*dataset);
  return AclCode::kSuccess;
}

AclCode aclmdlAddDatasetBuffer(Call& call, Dataset* handle, DataBuffer* buffer_handle) {
  const auto dataset = call.Find<DatasetObject>(handle);
  if (dataset == nullptr) return call.bad_handle();
  const auto buffer = call.Find<DataBufferObject>(buffer_handle);
  if (buffer == nullptr) return call.bad_handle();
  dataset->buffers.push_back(buffer);
  return AclCode::kSuccess;
}

DataBuffer* aclCreateDataBuffer(Call& call, void* device, size_t size) {
  const auto buffer = std::make_shared<DataBufferObject>();
  buffer->address = device;
  buffer->size = size;
  return static_cast<DataBuffer*>(call.core.objects.Add(buffer));
}

AclCode aclDestroyDataBuffer(Call& call, const DataBuffer* handle) {
  const auto buffer = call.Find<DataBufferObject>(handle);
  if (buffer == nullptr) return call.bad_handle();
  call.core.objects.Remove(*buffer);
  return AclCode::kSuccess;
}

AclCode aclmdlExecuteAsync(Call& call, uint32_t id, const Dataset* inputs, Dataset* outputs,
                           Stream* stream_handle) {
  const auto model = FindModel(call, id);
  if (model == nullptr) return Failure{codes::kInvalidModelId};
  const auto stream = call.FindStream(stream_handle);
  if (stream == nullptr) return call.bad_handle();
  const auto in = call.Find<DatasetObject>(inputs);
  if (in == nullptr) return call.bad_handle();
  const auto out = call.Find<DatasetObject>(outputs);
  if (out == nullptr) return call.bad_handle();
  std::vector<Range> ranges;
  if (!FindRanges(call, *in, model->inputs, Use::kRead, &ranges) ||
      !FindRanges(call, *out, model->outputs, Use::kWrite, &ranges)) {
    return Failure{codes::kInvalidParameter};
  }
  const Point& last = model->last_run;
  if (IsBusy(call, last) && !Covers(stream->clock(), last.stream->id(), last.task)) {
    call.Break("O1", 0, "aclmdlExecuteAsync of a model that may still run on another stream");
  }
  model->last_run = {stream, stream->Enqueue(MakeTask(call, model, std::move(ranges)))};
  in->last_run = out->last_run = model->last_run;
  return AclCode::kSuccess;
}

}  // namespace calls
}  // namespace pipeserve::ascend::sim
