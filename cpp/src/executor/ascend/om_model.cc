#include "executor/ascend/om_model.h"

#include <utility>

#include "base/str_cat.h"
#include "executor/ascend/view.h"

namespace pipeserve::ascend {
namespace {

DataType FromAclType(abi::AclDataType type) {
  switch (type) {
    case abi::AclDataType::kFloat:
      return DataType::kFloat32;
    case abi::AclDataType::kFloat16:
      return DataType::kFloat16;
    case abi::AclDataType::kDouble:
      return DataType::kFloat64;
    case abi::AclDataType::kInt8:
      return DataType::kInt8;
    case abi::AclDataType::kInt16:
      return DataType::kInt16;
    case abi::AclDataType::kInt32:
      return DataType::kInt32;
    case abi::AclDataType::kInt64:
      return DataType::kInt64;
    case abi::AclDataType::kUint8:
      return DataType::kUint8;
    case abi::AclDataType::kUint16:
      return DataType::kUint16;
    case abi::AclDataType::kUint32:
      return DataType::kUint32;
    case abi::AclDataType::kUint64:
      return DataType::kUint64;
    case abi::AclDataType::kBool:
      return DataType::kBool;
    case abi::AclDataType::kUndefined:
      break;
  }
  return DataType::kUnknown;
}

// What the runtime says of the inputs of a model, or of its outputs.
struct Side {
  const char* name;
  decltype(abi::Functions::aclmdlGetNumInputs) count;
  decltype(abi::Functions::aclmdlGetInputSizeByIndex) size;
  decltype(abi::Functions::aclmdlGetInputDims) dims;
  decltype(abi::Functions::aclmdlGetInputDataType) type;
  decltype(abi::Functions::aclmdlGetInputNameByIndex) title;
};

Side InputsOf(const abi::Functions& acl) {
  return {"input",
          acl.aclmdlGetNumInputs,
          acl.aclmdlGetInputSizeByIndex,
          acl.aclmdlGetInputDims,
          acl.aclmdlGetInputDataType,
          acl.aclmdlGetInputNameByIndex};
}

Side OutputsOf(const abi::Functions& acl) {
  return {"output",
          acl.aclmdlGetNumOutputs,
          acl.aclmdlGetOutputSizeByIndex,
          acl.aclmdlGetOutputDims,
          acl.aclmdlGetOutputDataType,
          acl.aclmdlGetOutputNameByIndex};
}

Result<TensorInfo> InfoOf(Device& device, abi::ModelDesc* desc, const Side& side, size_t index) {
  abi::ModelDims dims = {};
  PIPESERVE_RETURN_IF_ERROR(device.Check("aclmdlGetInputDims", side.dims(desc, index, &dims)));
  TensorInfo info;
  if (const char* const title = side.title(desc, index)) info.name = title;
  info.dtype = FromAclType(side.type(desc, index));
  if (info.dtype == DataType::kUnknown) {
    return Unimplemented(StrCat(side.name, " ", index, " is of a data type that tensors have not"));
  }
  if (dims.count > std::size(dims.dims)) {
    return Internal(StrCat(side.name, " ", index, " has ", dims.count, " dimensions"));
  }
  PIPESERVE_ASSIGN_OR_RETURN(info.shape, Shape::Create(std::span(dims.dims, dims.count)));
  const size_t size = side.size(desc, index);
  if (size == 0 || !info.shape.is_known()) {
    return Unimplemented(StrCat(side.name, " ", index, " of the model is ", info.ToString(),
                                ": shapes that are not known are not supported"));
  }
  if (static_cast<int64_t>(size) != info.byte_size()) {
    return Unimplemented(StrCat(side.name, " ", index, " of the model is ", info.ToString(), " in ",
                                size, " bytes: a layout that tensors have not"));
  }
  return info;
}

Result<std::vector<TensorInfo>> InfosOf(Device& device, abi::ModelDesc* desc, const Side& side) {
  std::vector<TensorInfo> infos;
  for (size_t i = 0; i < side.count(desc); ++i) {
    PIPESERVE_ASSIGN_OR_RETURN(TensorInfo info, InfoOf(device, desc, side, i));
    infos.push_back(std::move(info));
  }
  return infos;
}

}  // namespace

Result<Dataset> Dataset::Create(Device& device) {
  Dataset dataset;
  dataset.handle_ = device.acl().aclmdlCreateDataset();
  if (dataset.handle_ == nullptr) return ResourceExhausted("aclmdlCreateDataset gave nothing");
  dataset.device_ = &device;
  return dataset;
}

Dataset& Dataset::operator=(Dataset&& other) noexcept {
  std::swap(device_, other.device_);
  std::swap(handle_, other.handle_);
  std::swap(buffers_, other.buffers_);
  return *this;
}

Dataset::~Dataset() {
  if (handle_ == nullptr) return;
  (void)PIPESERVE_ACL(*device_, aclmdlDestroyDataset, handle_);
  for (const abi::DataBuffer* buffer : buffers_) {
    (void)PIPESERVE_ACL(*device_, aclDestroyDataBuffer, buffer);
  }
}

Status Dataset::Add(std::byte* data, size_t bytes) {
  abi::DataBuffer* const buffer = device_->acl().aclCreateDataBuffer(data, bytes);
  if (buffer == nullptr) return ResourceExhausted("aclCreateDataBuffer gave nothing");
  buffers_.push_back(buffer);
  return PIPESERVE_ACL(*device_, aclmdlAddDatasetBuffer, handle_, buffer);
}

Result<std::unique_ptr<OmModel>> OmModel::Load(Device& device, const std::string& file) {
  if (device.acl().aclmdlLoadFromFile == nullptr) {
    return Unimplemented("Ascend's runtime has no function aclmdlLoadFromFile");
  }
  std::unique_ptr<OmModel> model(new OmModel(device));
  PIPESERVE_RETURN_IF_ERROR(model->Open(file));
  PIPESERVE_RETURN_IF_ERROR(model->Describe());
  PIPESERVE_RETURN_IF_ERROR(model->Place());
  return model;
}

Status OmModel::Open(const std::string& file) {
  const Status status = PIPESERVE_ACL(device_, aclmdlLoadFromFile, file.c_str(), &id_);
  if (!status.ok()) {
    const Device::Version version = device_.version();
    return status.WithContext(StrCat("model ", file, ", loaded on ", device_.product().soc(),
                                     " by ACL ", version.major, ".", version.minor));
  }
  loaded_ = true;
  return OkStatus();
}

Status OmModel::Describe() {
  desc_ = device_.acl().aclmdlCreateDesc();
  if (desc_ == nullptr) return ResourceExhausted("aclmdlCreateDesc gave nothing");
  PIPESERVE_RETURN_IF_ERROR(PIPESERVE_ACL(device_, aclmdlGetDesc, desc_, id_));
  const abi::Functions& acl = device_.acl();
  PIPESERVE_ASSIGN_OR_RETURN(signature_.inputs, InfosOf(device_, desc_, InputsOf(acl)));
  PIPESERVE_ASSIGN_OR_RETURN(signature_.outputs, InfosOf(device_, desc_, OutputsOf(acl)));
  return OkStatus();
}

// Gives every input and output its memory.
Status OmModel::Place() {
  size_t total = 0;
  for (const auto* infos : {&signature_.inputs, &signature_.outputs}) {
    for (const TensorInfo& info : *infos) total += RoomFor(static_cast<size_t>(info.byte_size()));
  }
  PIPESERVE_ASSIGN_OR_RETURN(from_, Dataset::Create(device_));
  PIPESERVE_ASSIGN_OR_RETURN(to_, Dataset::Create(device_));
  if (total == 0) return OkStatus();
  PIPESERVE_ASSIGN_OR_RETURN(memory_, DeviceBlock::Allocate(device_, total));
  std::byte* next = memory_.data();
  const auto place = [&](const std::vector<TensorInfo>& infos,
                         Dataset& dataset) -> Result<std::vector<Port>> {
    std::vector<Port> ports;
    for (const TensorInfo& info : infos) {
      const auto bytes = static_cast<size_t>(info.byte_size());
      PIPESERVE_RETURN_IF_ERROR(dataset.Add(next, bytes));
      ports.push_back({info, next, bytes});
      next += RoomFor(bytes);
    }
    return ports;
  };
  PIPESERVE_ASSIGN_OR_RETURN(std::vector<Port> inputs, place(signature_.inputs, from_));
  PIPESERVE_ASSIGN_OR_RETURN(std::vector<Port> outputs, place(signature_.outputs, to_));
  return SetPorts(device_, std::move(inputs), std::move(outputs));
}

OmModel::~OmModel() {
  from_ = Dataset();
  to_ = Dataset();
  if (desc_ != nullptr) (void)PIPESERVE_ACL(device_, aclmdlDestroyDesc, desc_);
  if (loaded_ && !device_.is_abandoned()) {
    (void)PIPESERVE_ACL(device_, aclmdlUnload, id_);
  }
}

Status OmModel::Launch(Stream& stream, Workspace&) {
  Forget();  // Whether a compiled model writes to the memory of its inputs, nobody says.
  return PIPESERVE_ACL(device_, aclmdlExecuteAsync, id_, from_.get(), to_.get(), stream.handle());
}

}  // namespace pipeserve::ascend
