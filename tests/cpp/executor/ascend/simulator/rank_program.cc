// One rank of a group, as a process of its own: joins by the rank table or by a root info, and runs
// the steps that it is told.
//
//   rank_program RANK RANKS (table FILE | root FILE) STEP...
//
// Rank r brings (r + 1) / 3 + (i mod 1000) / 1000 as its i-th value, whose sums depend on their
// order. Steps, each followed by a wait:
//   sum:N      AllReduce of N floats in place, and the check of its result
//   gather:N   AllGather of N floats, and the check of its result
// Prints a line for each step, "ok" or the code that it ended with. With "root", rank 0 makes the
// info and writes FILE; the others read it.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "executor/ascend/library.h"

namespace pipeserve::ascend {
namespace {

constexpr int32_t kLimit = 60'000;

class Rank {
 public:
  Rank(const abi::Functions& acl, uint32_t rank, uint32_t ranks)
      : acl_(acl), rank_(rank), ranks_(ranks) {
    Check("aclInit", acl_.aclInit(nullptr));
    Check("aclrtSetDevice", acl_.aclrtSetDevice(static_cast<int32_t>(rank)));
    Check("stream", acl_.aclrtCreateStreamWithConfig(&stream_, 0, 0));
  }

  void Join(const std::string& way, const std::string& file) {
    if (way == "table") {
      const auto code = acl_.HcclCommInitClusterInfo(file.c_str(), rank_, &comm_);
      if (code != abi::HcclCode::kSuccess) End("join", static_cast<int>(code));
      return;
    }
    const abi::RootInfo info = rank_ == 0 ? MakeRoot(file) : AwaitRoot(file);
    const auto code = acl_.HcclCommInitRootInfo(ranks_, &info, rank_, &comm_);
    if (code != abi::HcclCode::kSuccess) End("join", static_cast<int>(code));
  }

  void Run(const std::string& step) {
    const size_t colon = step.find(':');
    const size_t count = std::stoul(step.substr(colon + 1));
    if (step.substr(0, colon) == "sum") {
      Sum(count);
    } else {
      Gather(count);
    }
  }

  void Leave() {
    if (const auto code = acl_.HcclCommDestroy(comm_); code != abi::HcclCode::kSuccess) {
      End("leave", static_cast<int>(code));
    }
    Check("destroy", acl_.aclrtDestroyStream(stream_));
    Check("reset", acl_.aclrtResetDevice(static_cast<int32_t>(rank_)));
    Check("finalise", acl_.aclFinalize());
  }

 private:
  abi::RootInfo MakeRoot(const std::string& file) {
    abi::RootInfo info = {};
    if (acl_.HcclGetRootInfo(&info) != abi::HcclCode::kSuccess) End("root", 1);
    std::ofstream(file + ".part", std::ios::binary).write(info.opaque, sizeof(info.opaque));
    std::filesystem::rename(file + ".part", file);
    return info;
  }

  abi::RootInfo AwaitRoot(const std::string& file) {
    while (!std::filesystem::exists(file)) std::this_thread::yield();
    abi::RootInfo info = {};
    std::ifstream(file, std::ios::binary).read(info.opaque, sizeof(info.opaque));
    return info;
  }

  static float Value(uint32_t rank, size_t index) {
    return static_cast<float>(rank + 1) / 3 + static_cast<float>(index % 1000) / 1000;
  }

  void* Upload(size_t count) {
    std::vector<float> values(count);
    for (size_t i = 0; i < count; ++i) values[i] = Value(rank_, i);
    void* block = nullptr;
    const size_t size = count * sizeof(float);
    Check("malloc", acl_.aclrtMalloc(&block, size, abi::MallocPolicy::kHugeFirst));
    Check("copy",
          acl_.aclrtMemcpy(block, size, values.data(), size, abi::MemcpyKind::kHostToDevice));
    return block;
  }

  // Waits for the step and compares what it left in `block`, which it frees.
  template <typename Expected>
  void Finish(const char* step, abi::HcclCode code, void* block, size_t count,
              const Expected& expected) {
    if (code != abi::HcclCode::kSuccess) End(step, static_cast<int>(code));
    const auto waited = acl_.aclrtSynchronizeStreamWithTimeout(stream_, kLimit);
    if (waited != abi::AclCode::kSuccess) End(step, static_cast<int>(waited));
    std::vector<float> values(count);
    const size_t size = count * sizeof(float);
    Check("copy back",
          acl_.aclrtMemcpy(values.data(), size, block, size, abi::MemcpyKind::kDeviceToHost));
    for (size_t i = 0; i < count; ++i) {
      if (values[i] != expected(i)) End(step, -1);
    }
    Check("free", acl_.aclrtFree(block));
    std::puts("ok");
  }

  void Sum(size_t count) {
    void* const block = Upload(count);
    const auto code = acl_.HcclAllReduce(block, block, count, abi::HcclDataType::kFloat,
                                         abi::HcclReduceOp::kSum, comm_, stream_);
    Finish("sum", code, block, count, [&](size_t i) {
      float sum = 0;
      for (uint32_t rank = 0; rank < ranks_; ++rank) sum += Value(rank, i);
      return sum;
    });
  }

  void Gather(size_t count) {
    void* const from = Upload(count);
    void* to = nullptr;
    Check("malloc",
          acl_.aclrtMalloc(&to, ranks_ * count * sizeof(float), abi::MallocPolicy::kHugeFirst));
    const auto code =
        acl_.HcclAllGather(from, to, count, abi::HcclDataType::kFloat, comm_, stream_);
    Finish("gather", code, to, ranks_ * count,
           [&](size_t i) { return Value(static_cast<uint32_t>(i / count), i % count); });
    Check("free", acl_.aclrtFree(from));
  }

  static void Check(const char* what, abi::AclCode code) {
    if (code != abi::AclCode::kSuccess) End(what, static_cast<int>(code));
  }

  [[noreturn]] static void End(const char* what, int code) {
    std::printf("%s: %d\n", what, code);
    std::fflush(stdout);
    _exit(EXIT_FAILURE);  // Streams may hang.
  }

  const abi::Functions& acl_;
  const uint32_t rank_;
  const uint32_t ranks_;
  abi::Stream* stream_ = nullptr;
  abi::Comm* comm_ = nullptr;
};

int Main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 4) return EXIT_FAILURE;
  const auto library =
      Library::Load({.directory = PIPESERVE_SIM_DIRECTORY "/lib64", .collectives = true});
  if (!library.ok()) {
    std::fprintf(stderr, "%s\n", std::string(library.status().message()).c_str());
    return EXIT_FAILURE;
  }
  Rank rank((*library)->functions(), static_cast<uint32_t>(std::stoul(words[0])),
            static_cast<uint32_t>(std::stoul(words[1])));
  rank.Join(words[2], words[3]);
  for (size_t i = 4; i < words.size(); ++i) rank.Run(words[i]);
  rank.Leave();
  return EXIT_SUCCESS;
}

}  // namespace
}  // namespace pipeserve::ascend

int main(int argc, char** argv) { return pipeserve::ascend::Main(argc, argv); }
