// Writes a model that is cut over two ranks, starts an agent for each and runs it.
//
//     embed_cpp_distributed AGENT [FOLDER]   # AGENT is the program pipeserve-agent.

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "pipeserve/graph_builder.h"
#include "pipeserve/server.h"

namespace {

using namespace pipeserve;

constexpr int kRanks = 2;

// y = -(x * weight): each rank has half of the columns, and gathers those of the other.
Status WriteModel(const std::string& folder) {
  GraphBuilder builder("product");
  const Tensor diagonal = Tensor::Of<float>({4, 4}, {1, 0, 0, 0,  //
                                                     0, 2, 0, 0,  //
                                                     0, 0, 3, 0,  //
                                                     0, 0, 0, 4});
  PIPESERVE_ASSIGN_OR_RETURN(const auto x, builder.Input("x", DataType::kFloat32, {1, 4}));
  PIPESERVE_ASSIGN_OR_RETURN(const auto weight, builder.Parameter("weight", diagonal));
  PIPESERVE_ASSIGN_OR_RETURN(const auto product,
                             builder.MatMul(x, weight, false, false, {{1, 1}, {1, kRanks}}));
  PIPESERVE_ASSIGN_OR_RETURN(const auto y, builder.Neg(product));
  PIPESERVE_RETURN_IF_ERROR(builder.Output(y));
  return builder.SaveSharded(folder, kRanks);
}

// Which rank runs where: both on this machine.
void WriteRankTable(const std::string& file) {
  std::ofstream(file) << R"({"version": "1.0", "server_count": "1", "status": "completed",
      "server_list": [{"server_id": "127.0.0.1", "host_nic_ip": "reserve", "device": [
          {"device_id": "0", "device_ip": "192.1.1.1", "rank_id": "0"},
          {"device_id": "1", "device_ip": "192.1.1.2", "rank_id": "1"}]}]})";
}

Result<pid_t> StartAgent(const std::string& program, const std::string& server,
                         const std::string& folder, const std::string& rank) {
  const std::string device = folder + "/device" + rank;
  std::vector<std::string> words = {program,
                                    "--server=" + server,
                                    "--rank=" + rank,
                                    "--rank-size=2",
                                    "--model=" + device + "/product.mindir",
                                    "--group-config=" + device + "/group_config.pb"};
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t process = 0;
  const int error =
      posix_spawn(&process, program.c_str(), nullptr, nullptr, arguments.data(), environ);
  if (error != 0) return Unavailable("cannot start " + program + ": " + std::strerror(error));
  return process;
}

Status Run(const std::string& agent, const std::string& folder) {
  PIPESERVE_RETURN_IF_ERROR(WriteModel(folder));
  DistributedServableOptions options;
  options.rank_size = kRanks;
  options.rank_table_file = folder + "/rank_table.json";
  options.address = "127.0.0.1:0";
  WriteRankTable(options.rank_table_file);

  const ServableSpec spec = {.name = "product",
                             .methods = {GraphMethod("predict", 0, {"x"}, {"y"})},
                             .with_batch_dim = false};
  PIPESERVE_ASSIGN_OR_RETURN(const auto server, Server::Create());
  PIPESERVE_ASSIGN_OR_RETURN(const auto address, server->StartDistributed(spec, options));
  for (const std::string rank : {"0", "1"}) {
    PIPESERVE_RETURN_IF_ERROR(StartAgent(agent, address, folder, rank).status());
  }
  PIPESERVE_RETURN_IF_ERROR(server->WaitReady("product", 1, std::chrono::seconds(30)));

  const Tensor x = Tensor::Of<float>({1, 4}, {1, 2, 3, 4});
  PIPESERVE_ASSIGN_OR_RETURN(const Instance outputs, server->Infer("product", "predict", {x}));
  PIPESERVE_ASSIGN_OR_RETURN(const auto y, outputs[0].ToVector<float>());
  for (const float number : y) std::cout << number << " ";
  std::cout << "from " << kRanks << " ranks\n";
  return OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) return std::cerr << "usage: embed_cpp_distributed AGENT [FOLDER]\n", 2;
  const Status status = Run(argv[1], argc > 2 ? argv[2] : ".");
  if (!status.ok()) std::cerr << status << "\n";
  while (wait(nullptr) > 0) {  // The agents end with their server.
  }
  return status.ok() ? 0 : 1;
}
