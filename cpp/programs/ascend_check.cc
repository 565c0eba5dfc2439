// pipeserve-ascend-check: what this machine's Ascend runtime and device are, and whether they
// compute what the CPU does. Prints one JSON document.
#include <getopt.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/str_cat.h"
#include "executor/ascend/ascend_executor.h"
#include "executor/ascend/memory.h"
#include "executor/ascend/stream.h"
#include "executor/cpu/cpu_executor.h"

namespace pipeserve::ascend {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kUsage[] =
    R"(usage: pipeserve-ascend-check [--device N] [--library-dir DIR]

Prints, as JSON, which of Ascend's runtime libraries were found, what device there is, and whether
it computes what the CPU computes. Exit code 0 when all checks pass, 1 when one fails.

  --device N          the device to try, from 0 on (default: 0)
  --library-dir DIR   where the libraries are (default: $ASCEND_HOME_PATH/lib64, then
                      $ASCEND_TOOLKIT_HOME/lib64, then wherever the loader looks)
  --help, --version

example:
  source /usr/local/Ascend/ascend-toolkit/set_env.sh && pipeserve-ascend-check | tee ascend.json
)";

struct CheckOptions {
  LibraryOptions library;
  DeviceOptions device;
};

// A check's part of the document: what it found, and whether all was well.
Json Failed(const Status& status, Json found = Json::object()) {
  found["ok"] = false;
  found["error"] = status.ToString();
  return found;
}
Json Passed(Json found = Json::object()) {
  found["ok"] = true;
  return found;
}

Json CheckLibraries(const CheckOptions& options) {
  LibraryOptions library = options.library;
  library.collectives = true;
  Result<std::shared_ptr<const Library>> loaded = Library::Load(library);
  if (!loaded.ok()) return Failed(loaded.status());
  return Passed({{"files", (*loaded)->files()}, {"missing_functions", (*loaded)->missing()}});
}

Json MemoryOf(Device& device) {
  Json memory = Json::object();
  for (const auto& [name, attribute] : {std::pair("hbm", abi::MemoryAttribute::kHbm),
                                        std::pair("ddr", abi::MemoryAttribute::kDdr)}) {
    size_t free = 0, total = 0;
    const Status status = PIPESERVE_ACL(device, aclrtGetMemInfo, attribute, &free, &total);
    if (status.ok() && total > 0) memory[name] = {{"free", free}, {"total", total}};
  }
  return memory;
}

Json CheckDevice(Device& device) {
  const Device::Version version = device.version();
  Json found = {{"acl", StrCat(version.major, ".", version.minor, ".", version.patch)},
                {"soc", device.product().soc()}};
  uint32_t count = 0;
  const Status status = PIPESERVE_ACL(device, aclrtGetDeviceCount, &count);
  if (!status.ok()) return Failed(status, std::move(found));
  found["devices"] = count;
  found["memory_bytes"] = MemoryOf(device);
  return Passed(std::move(found));
}

// There and back again.
Status CopyBoth(Device& device, Stream& stream, size_t bytes) {
  PIPESERVE_ASSIGN_OR_RETURN(const PinnedBlock from, PinnedBlock::Allocate(device, bytes));
  PIPESERVE_ASSIGN_OR_RETURN(const PinnedBlock to, PinnedBlock::Allocate(device, bytes));
  PIPESERVE_ASSIGN_OR_RETURN(const DeviceBlock there, DeviceBlock::Allocate(device, bytes));
  for (size_t i = 0; i < bytes; ++i) from.data()[i] = static_cast<std::byte>(i * 2654435761u >> 13);
  Status status = stream.CopyToDevice(there.data(), from.data(), bytes);
  if (status.ok()) status = stream.CopyToHost(to.data(), there.data(), bytes);
  const Status done = stream.Synchronize({});
  PIPESERVE_RETURN_IF_ERROR(status);
  PIPESERVE_RETURN_IF_ERROR(done);
  if (std::memcmp(from.data(), to.data(), bytes) == 0) return OkStatus();
  return Internal(StrCat(bytes, " bytes came back changed"));
}

Json CheckCopies(Device& device) {
  Result<Stream> stream = Stream::Create(device);
  if (!stream.ok()) return Failed(stream.status());
  Json sizes = Json::array();
  for (const size_t bytes : {size_t{1}, size_t{4096}, size_t{1} << 20, size_t{256} << 20}) {
    const Status status = CopyBoth(device, *stream, bytes);
    if (!status.ok()) return Failed(status, {{"bytes", sizes}});
    sizes.push_back(bytes);
  }
  return Passed({{"bytes", sizes}});
}

Json CheckOpened(const CheckOptions& options, Json* copies) {
  Result<std::shared_ptr<const Library>> library = Library::Load(options.library);
  if (!library.ok()) return Failed(library.status());
  Result<std::unique_ptr<Device>> device = Device::Open(*std::move(library), options.device);
  if (!device.ok()) return Failed(device.status());
  Json found = CheckDevice(**device);
  *copies = CheckCopies(**device);
  const Status closed = (*device)->Close();
  return closed.ok() ? found : Failed(closed, std::move(found));
}

constexpr int64_t kRows = 64, kInner = 96, kColumns = 48;

Tensor RandomTensor(const Shape& shape, uint32_t seed) {
  Tensor tensor(DataType::kFloat32, shape);
  std::mt19937 random(seed);
  std::uniform_real_distribution<float> numbers(-1, 1);
  std::generate_n(tensor.mutable_data_as<float>(), shape.num_elements(),
                  [&] { return numbers(random); });
  return tensor;
}

Graph MakeGraph(OpType op) {
  const bool product = op == OpType::kMatMul;
  Graph graph;
  graph.name = OpTypeName(op);
  const auto value = [&](const char* name, Shape shape) {
    return graph.AddValue({name, DataType::kFloat32, std::move(shape)});
  };
  const ValueId x = value("x", {kRows, kInner});
  graph.inputs = {x};
  Node node;
  node.op = op;
  node.name = "node";
  node.inputs = {x};
  if (op != OpType::kNeg && op != OpType::kReLU) {
    const Shape shape = product ? Shape{kInner, kColumns} : Shape{kRows, kInner};
    const ValueId w = value("w", shape);
    graph.constants.emplace(w, RandomTensor(shape, 2));
    node.inputs.push_back(w);
  }
  if (product) node.attributes = MatMulAttributes{};
  const ValueId y = value("y", product ? Shape{kRows, kColumns} : Shape{kRows, kInner});
  node.outputs = {y};
  graph.nodes.push_back(std::move(node));
  graph.outputs = {y};
  return graph;
}

Result<std::vector<Tensor>> RunOn(Executor& executor, const Tensor& x) {
  std::vector<Tensor> outputs;
  PIPESERVE_RETURN_IF_ERROR(executor.Run(0, std::span(&x, 1), {}, &outputs));
  return outputs;
}

// How many numbers of float32 lie between two.
int64_t UlpsBetween(float a, float b) {
  const auto place = [](float number) {
    const auto bits = std::bit_cast<int32_t>(number);
    return bits < 0 ? int64_t{INT32_MIN} - bits : int64_t{bits};
  };
  return std::abs(place(a) - place(b));
}

// What strict float32, or a coarser type, may make of a sum of kInner products of up to 1.
double ToleranceOf(Precision precision) {
  switch (precision) {
    case Precision::kStrict:
      return 1e-5;
    case Precision::kHf32:
      return 2e-2;
    case Precision::kFloat16:
      return 5e-2;
  }
  return 0;
}

Json CheckOperator(const CheckOptions& options, OpType op, Precision precision) {
  AscendExecutorOptions ascend;
  ascend.library = options.library;
  ascend.device = options.device;
  ascend.precision = precision;
  std::vector<AscendModel> models;
  models.emplace_back(MakeGraph(op));
  std::vector<Graph> graphs;
  graphs.push_back(MakeGraph(op));
  auto device = AscendExecutor::Create(std::move(models), ascend);
  if (!device.ok()) return Failed(device.status());
  auto cpu = CpuExecutor::Create(std::move(graphs));
  if (!cpu.ok()) return Failed(cpu.status());
  const Tensor x = RandomTensor({kRows, kInner}, 1);
  const auto came = RunOn(**device, x), wanted = RunOn(**cpu, x);
  if (!came.ok()) return Failed(came.status());
  if (!wanted.ok()) return Failed(wanted.status());
  double most = 0;
  int64_t most_ulps = 0;
  const auto count = static_cast<size_t>((*wanted)[0].shape().num_elements());
  for (size_t i = 0; i < count; ++i) {
    const float a = (*came)[0].data_as<float>()[i], b = (*wanted)[0].data_as<float>()[i];
    most = std::max(most, std::abs(double{a} - double{b}));
    most_ulps = std::max(most_ulps, UlpsBetween(a, b));
  }
  Json found = {{"largest_error", most}, {"largest_error_ulp", most_ulps}};
  if (most <= ToleranceOf(precision)) return Passed(std::move(found));
  return Failed(Internal(StrCat("differs from the CPU by ", most)), std::move(found));
}

Json CheckOperators(const CheckOptions& options) {
  Json found = Json::object();
  for (const auto& [name, precision] :
       {std::pair("MatMul strict", Precision::kStrict), std::pair("MatMul hf32", Precision::kHf32),
        std::pair("MatMul fp16", Precision::kFloat16)}) {
    found[name] = CheckOperator(options, OpType::kMatMul, precision);
  }
  for (const OpType op : {OpType::kNeg, OpType::kAdd, OpType::kSub, OpType::kMul, OpType::kReLU}) {
    found[std::string(OpTypeName(op))] = CheckOperator(options, op, Precision::kStrict);
  }
  return found;
}

// A precision or an operator that the product has not is told, and no failure.
bool IsGood(const Json& part) {
  if (!part.contains("ok")) return std::all_of(part.begin(), part.end(), IsGood);
  if (part["ok"] == true) return true;
  const std::string error = part["error"];
  return error.starts_with("UNIMPLEMENTED") || error.find("precision must be") != error.npos;
}

int Run(const CheckOptions& options) {
  Json document = {{"program", "pipeserve-ascend-check " PIPESERVE_VERSION}};
  document["libraries"] = CheckLibraries(options);
  if (document["libraries"]["ok"] == true) {
    Json copies = Failed(FailedPrecondition("the device could not be opened"));
    document["device"] = CheckOpened(options, &copies);
    document["copies"] = std::move(copies);
    if (document["device"]["ok"] == true) document["operators"] = CheckOperators(options);
  }
  bool good = true;
  for (const auto& [name, part] : document.items())
    good = good && (part.is_string() || IsGood(part));
  document["ok"] = good;
  std::cout << document.dump(2, ' ', false, Json::error_handler_t::replace) << "\n";
  return good ? 0 : 1;
}

int Main(int argc, char** argv) {
  constexpr option kOptions[] = {{"device", required_argument, nullptr, 'd'},
                                 {"library-dir", required_argument, nullptr, 'l'},
                                 {"help", no_argument, nullptr, 'h'},
                                 {"version", no_argument, nullptr, 'v'},
                                 {nullptr, 0, nullptr, 0}};
  CheckOptions options;
  for (int flag = 0; (flag = getopt_long(argc, argv, "", kOptions, nullptr)) != -1;) {
    switch (flag) {
      case 'd':
        options.device.id = std::atoi(optarg);
        break;
      case 'l':
        options.library.directory = optarg;
        break;
      case 'h':
        std::cout << kUsage;
        return 0;
      case 'v':
        std::cout << "pipeserve-ascend-check " PIPESERVE_VERSION "\n";
        return 0;
      default:
        std::cerr << kUsage;
        return 2;
    }
  }
  if (optind == argc) return Run(options);
  std::cerr << kUsage;
  return 2;
}

}  // namespace
}  // namespace pipeserve::ascend

int main(int argc, char** argv) { return pipeserve::ascend::Main(argc, argv); }
