// What the tests of the simulator share: its functions, its control, and short forms of calls.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "executor/ascend/library.h"

namespace pipeserve::ascend {

// Loads a directory of the simulator's libraries, for example "lib64".
std::shared_ptr<const Library> LoadSimulator(const std::string& directory);

// The answer to a command; see control.h of the simulator.
std::string SimControl(const std::string& command);

inline int32_t Code(abi::AclCode code) { return static_cast<int32_t>(code); }
inline int32_t Code(abi::HcclCode code) { return static_cast<int32_t>(code); }

#define EXPECT_ACL(call) EXPECT_EQ(Code(call), 0) << SimControl("violations")
#define ASSERT_ACL(call) ASSERT_EQ(Code(call), 0) << SimControl("violations")

// A process that has just loaded the libraries.
class BareSimulatorTest : public testing::Test {
 protected:
  BareSimulatorTest();
  ~BareSimulatorTest() override;

  // Exactly these rules were broken since the last look, and `text` is in the report.
  void ExpectBroken(const std::vector<std::string>& rules, const std::string& text = "");
  void ExpectNothingBroken() { ExpectBroken({}); }

  const abi::Functions& acl;

 private:
  bool looked_ = false;
};

// A process with device 0 and a stream.
class SimulatorTest : public BareSimulatorTest {
 protected:
  SimulatorTest();

  abi::Stream* NewStream();
  void* NewBlock(size_t size);  // On the device.
  float* NewPinned(size_t count);
  // A block on the device with these values.
  void* Upload(const std::vector<float>& values);
  std::vector<float> Download(const void* device, size_t count);

  // A row-major tensor of float32, or one with strides and offset in a block of `storage` elements.
  abi::Tensor* NewTensor(void* device, const std::vector<int64_t>& dims,
                         abi::AclDataType type = abi::AclDataType::kFloat);
  abi::Tensor* NewView(void* device, const std::vector<int64_t>& dims,
                       const std::vector<int64_t>& strides, int64_t offset, int64_t storage,
                       abi::AclDataType type = abi::AclDataType::kFloat);

  // Plans -x of two tensors of `count` floats.
  abi::OpExecutor* PlanNeg(void* from, void* to, int64_t count, uint64_t* size);

  // Runs both phases of an operator on `stream` and waits for it.
  template <typename PlanFunction, typename LaunchFunction, typename... Arguments>
  int32_t RunOperator(PlanFunction plan, LaunchFunction launch, Arguments... arguments) {
    uint64_t size = 0;
    abi::OpExecutor* executor = nullptr;
    if (const int32_t code = Code(plan(arguments..., &size, &executor))) return code;
    if (const int32_t code = Code(launch(Workspace(size), size, executor, stream))) return code;
    return Code(acl.aclrtSynchronizeStreamWithTimeout(stream, kLimit));
  }
  void* Workspace(size_t size);

  static constexpr int32_t kLimit = 30'000;
  abi::Stream* stream = nullptr;

 private:
  void* workspace_ = nullptr;
  size_t workspace_size_ = 0;
};

}  // namespace pipeserve::ascend
