// Writes a model of two graphs, defines a pipeline that calls the first once and the second as
// often as it is asked to, runs it in this process, then serves it and asks it as a client.
//
//     embed_cpp [FOLDER]   # Where the model is written; without, here.

#include <cstdint>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "pipeserve/client.h"
#include "pipeserve/graph_builder.h"
#include "pipeserve/server.h"

namespace {

using namespace pipeserve;

// Graph 0 doubles a vector; graph 1 turns it by one place and adds one.
Status WriteModel(const std::vector<std::string>& files) {
  GraphBuilder init("init");
  PIPESERVE_ASSIGN_OR_RETURN(const auto x, init.Input("x", DataType::kFloat32, {1, 4}));
  PIPESERVE_ASSIGN_OR_RETURN(const auto doubled, init.Add(x, x));
  PIPESERVE_RETURN_IF_ERROR(init.Output(doubled));
  PIPESERVE_RETURN_IF_ERROR(init.Save(files[0]));

  GraphBuilder step("step");
  const Tensor turn = Tensor::Of<float>({4, 4}, {0, 1, 0, 0,  //
                                                 0, 0, 1, 0,  //
                                                 0, 0, 0, 1,  //
                                                 1, 0, 0, 0});
  const Tensor one = Tensor::Of<float>({4}, {1, 1, 1, 1});
  PIPESERVE_ASSIGN_OR_RETURN(const auto state, step.Input("state", DataType::kFloat32, {1, 4}));
  PIPESERVE_ASSIGN_OR_RETURN(const auto weight, step.Parameter("turn", turn));
  PIPESERVE_ASSIGN_OR_RETURN(const auto bias, step.Parameter("one", one));
  PIPESERVE_ASSIGN_OR_RETURN(const auto turned, step.MatMul(state, weight));
  PIPESERVE_ASSIGN_OR_RETURN(const auto next, step.BiasAdd(turned, bias));
  PIPESERVE_RETURN_IF_ERROR(step.Output(next));
  return step.Save(files[1]);
}

// What clients call: generate(x, steps) -> y.
ServableSpec Decoder(Server* server) {
  const auto generate = [server](const Instance& inputs) -> Result<Instance> {
    PIPESERVE_ASSIGN_OR_RETURN(const auto steps, inputs[1].ToVector<int32_t>());
    PIPESERVE_ASSIGN_OR_RETURN(Instance state, server->RunOne("decoder", 1, "init", {inputs[0]}));
    for (int32_t i = 0; i < steps.at(0); ++i) {
      PIPESERVE_ASSIGN_OR_RETURN(state, server->RunOne("decoder", 1, "step", std::move(state)));
    }
    return state;
  };
  return {.name = "decoder",
          .methods = {GraphMethod("init", 0, {"x"}, {"state"}),
                      GraphMethod("step", 1, {"state"}, {"state"})},
          .pipelines = {{.name = "generate",
                         .input_names = {"x", "steps"},
                         .output_names = {"y"},
                         .function = MakeHostFunction("generate", generate)}},
          .with_batch_dim = false};
}

Result<std::vector<float>> Ask(const std::string& address, const NamedInstance& inputs) {
  PIPESERVE_ASSIGN_OR_RETURN(
      const auto client,
      Client::Create({.address = address, .servable = "decoder", .method = "generate"}));
  PIPESERVE_ASSIGN_OR_RETURN(const InferReply reply, client->Infer({&inputs, 1}));
  if (!reply.errors.empty()) return Internal(reply.errors[0].message);
  return reply.instances.at(0).at(0).second.ToVector<float>();
}

Status Run(const std::string& folder) {
  const std::vector<std::string> files = {folder + "/init.mindir", folder + "/step.mindir"};
  PIPESERVE_RETURN_IF_ERROR(WriteModel(files));
  PIPESERVE_ASSIGN_OR_RETURN(const auto server, Server::Create());
  PIPESERVE_RETURN_IF_ERROR(server->LoadLocal(Decoder(server.get()), {.model_files = files}));

  const std::vector<float> numbers = {1, 2, 3, 4};
  PIPESERVE_ASSIGN_OR_RETURN(const Tensor x, Tensor::CopyOf({1, 4}, numbers));
  const Tensor steps = Tensor::Of<int32_t>({}, {3});
  PIPESERVE_ASSIGN_OR_RETURN(const Instance here, server->Infer("decoder", "generate", {x, steps}));
  PIPESERVE_ASSIGN_OR_RETURN(const auto y, here[0].ToVector<float>());
  for (const float number : y) std::cout << number << " ";

  PIPESERVE_ASSIGN_OR_RETURN(const auto address, server->StartGrpc({.address = "127.0.0.1:0"}));
  PIPESERVE_ASSIGN_OR_RETURN(const auto served, Ask(address, {{"x", x}, {"steps", steps}}));
  std::cout << (served == y ? "both here and served\n" : "here, and something else served\n");
  return served == y ? OkStatus() : Internal("the two answers differ");
}

}  // namespace

int main(int argc, char** argv) {
  const Status status = Run(argc > 1 ? argv[1] : ".");
  if (!status.ok()) std::cerr << status << "\n";
  return status.ok() ? 0 : 1;
}
