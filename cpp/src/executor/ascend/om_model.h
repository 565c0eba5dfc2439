// A model that was compiled for one kind of device beforehand: an .om file.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "executor/ascend/program.h"
#include "graph/graph.h"

namespace pipeserve::ascend {

// Buffers of the device in the form in which a model takes them.
class Dataset {
 public:
  Dataset() = default;
  static Result<Dataset> Create(Device& device);
  Dataset(Dataset&& other) noexcept { *this = std::move(other); }
  Dataset& operator=(Dataset&& other) noexcept;
  ~Dataset();

  // `data` stays its owner's. Errors: those of the runtime.
  Status Add(std::byte* data, size_t bytes);
  abi::Dataset* get() const { return handle_; }

 private:
  Device* device_ = nullptr;
  abi::Dataset* handle_ = nullptr;
  std::vector<const abi::DataBuffer*> buffers_;  // Which the runtime leaves to us.
};

// Loaded for as long as this lives.
class OmModel final : public Program {
 public:
  // Errors: kInvalidArgument (the file cannot be loaded: such files belong to one kind of device
  // and one release of the toolkit), kUnimplemented (a shape that is not known, or a data type that
  // tensors have not), kResourceExhausted, those of the runtime.
  static Result<std::unique_ptr<OmModel>> Load(Device& device, const std::string& file);
  ~OmModel() override;

  const GraphSignature& signature() const { return signature_; }

 private:
  explicit OmModel(Device& device) : device_(device) {}
  Status Open(const std::string& file);
  Status Describe();
  Status Place();
  Status Launch(Stream& stream, Workspace& workspace) override;

  Device& device_;
  bool loaded_ = false;
  uint32_t id_ = 0;
  abi::ModelDesc* desc_ = nullptr;
  GraphSignature signature_;
  DeviceBlock memory_;
  Dataset from_, to_;
};

}  // namespace pipeserve::ascend
