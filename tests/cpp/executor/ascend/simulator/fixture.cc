#include "executor/ascend/simulator/fixture.h"

#include <dlfcn.h>

#include <algorithm>
#include <sstream>

namespace pipeserve::ascend {
namespace {

const abi::Functions& Functions() {
  static const std::shared_ptr<const Library> library = LoadSimulator("lib64");
  return library->functions();
}

std::vector<int64_t> RowMajor(const std::vector<int64_t>& dims) {
  std::vector<int64_t> strides(dims.size(), 1);
  for (size_t i = dims.size(); i > 1; --i) strides[i - 2] = strides[i - 1] * dims[i - 1];
  return strides;
}

int64_t Product(const std::vector<int64_t>& dims) {
  int64_t product = 1;
  for (const int64_t dim : dims) product *= dim;
  return product;
}

}  // namespace

std::shared_ptr<const Library> LoadSimulator(const std::string& directory) {
  auto library =
      Library::Load({.directory = PIPESERVE_SIM_DIRECTORY "/" + directory, .collectives = true});
  if (!library.ok()) {
    ADD_FAILURE() << library.status().message();
    std::abort();
  }
  return *library;
}

std::string SimControl(const std::string& command) {
  static const auto control = [] {
    void* const library = dlopen(PIPESERVE_SIM_DIRECTORY "/lib64/libascendcl.so", RTLD_NOW);
    return reinterpret_cast<const char* (*)(const char*)>(dlsym(library, "PipeserveSimControl"));
  }();
  return control(command.c_str());
}

BareSimulatorTest::BareSimulatorTest() : acl(Functions()) { SimControl("wipe"); }

BareSimulatorTest::~BareSimulatorTest() {
  if (!looked_) ExpectNothingBroken();
  SimControl("wipe");
}

void BareSimulatorTest::ExpectBroken(const std::vector<std::string>& rules,
                                     const std::string& text) {
  looked_ = true;
  const std::string report = SimControl("violations");
  std::istringstream lines(report);
  std::vector<std::string> broken;
  for (std::string line; std::getline(lines, line);) {
    broken.push_back(line.substr(0, line.find(':')));
  }
  EXPECT_EQ(broken, rules) << report;
  EXPECT_THAT(report, testing::HasSubstr(text));
}

SimulatorTest::SimulatorTest() {
  EXPECT_ACL(acl.aclInit(nullptr));
  EXPECT_ACL(acl.aclrtSetDevice(0));
  stream = NewStream();
}

abi::Stream* SimulatorTest::NewStream() {
  abi::Stream* made = nullptr;
  EXPECT_ACL(acl.aclrtCreateStreamWithConfig(&made, 0, abi::kStreamFastLaunch));
  return made;
}

void* SimulatorTest::NewBlock(size_t size) {
  void* block = nullptr;
  EXPECT_ACL(acl.aclrtMalloc(&block, size, abi::MallocPolicy::kHugeFirst));
  return block;
}

float* SimulatorTest::NewPinned(size_t count) {
  void* block = nullptr;
  EXPECT_ACL(acl.aclrtMallocHost(&block, count * sizeof(float)));
  return static_cast<float*>(block);
}

void* SimulatorTest::Upload(const std::vector<float>& values) {
  const size_t size = values.size() * sizeof(float);
  void* const block = NewBlock(size);
  EXPECT_ACL(acl.aclrtMemcpy(block, size, values.data(), size, abi::MemcpyKind::kHostToDevice));
  return block;
}

std::vector<float> SimulatorTest::Download(const void* device, size_t count) {
  std::vector<float> values(count);
  const size_t size = count * sizeof(float);
  EXPECT_ACL(acl.aclrtMemcpy(values.data(), size, device, size, abi::MemcpyKind::kDeviceToHost));
  return values;
}

abi::Tensor* SimulatorTest::NewTensor(void* device, const std::vector<int64_t>& dims,
                                      abi::AclDataType type) {
  return NewView(device, dims, RowMajor(dims), 0, Product(dims), type);
}

abi::Tensor* SimulatorTest::NewView(void* device, const std::vector<int64_t>& dims,
                                    const std::vector<int64_t>& strides, int64_t offset,
                                    int64_t storage, abi::AclDataType type) {
  return acl.aclCreateTensor(dims.data(), dims.size(), type, strides.data(), offset,
                             abi::Format::kNd, &storage, 1, device);
}

abi::OpExecutor* SimulatorTest::PlanNeg(void* from, void* to, int64_t count, uint64_t* size) {
  abi::OpExecutor* executor = nullptr;
  EXPECT_ACL(acl.aclnnNegGetWorkspaceSize(NewTensor(from, {count}), NewTensor(to, {count}), size,
                                          &executor));
  return executor;
}

void* SimulatorTest::Workspace(size_t size) {
  if (size > workspace_size_) {
    workspace_ = NewBlock(size);
    workspace_size_ = size;
  }
  return workspace_;
}

}  // namespace pipeserve::ascend
