// Model files of the shared folder, and the values that are stored beside them.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "support/fixtures.h"
#include "support/npz.h"

namespace pipeserve {

// Those of one process that every executor runs, below mindir/.
inline constexpr const char* kWholeModels[] = {
    "v1.3/consts.mindir",           "v1.3/matmul_0.mindir",     "v1.3/matmul_1.mindir",
    "v1.3/matmul_ta.mindir",        "v1.3/mlp.mindir",          "v1.3/two_in_two_out.mindir",
    "v2.10/add_relu.mindir",        "v2.10/bias_relu.mindir",   "v2.10/consts.mindir",
    "v2.10/matmul_0.mindir",        "v2.10/matmul_1.mindir",    "v2.10/matmul_dynamic.mindir",
    "v2.10/matmul_dynrank2.mindir", "v2.10/matmul_fp16.mindir", "v2.10/matmul_rand.mindir",
    "v2.10/matmul_small.mindir",    "v2.10/matmul_ta.mindir",   "v2.10/matmul_ta_tb.mindir",
    "v2.10/matmul_tb.mindir",       "v2.10/mlp.mindir",         "v2.10/mlp_shard.mindir",
    "v2.10/two_in_two_out.mindir"};

// Sharded ones: a folder below mindir/sharded, a graph in it, how many ranks there are.
struct ShardedModel {
  const char* folder;
  const char* graph;
  int ranks;
};
inline constexpr ShardedModel kShardedModels[] = {
    {"v1.3-nccl/row_8", "matmul_rand", 8},  {"v1.3-nccl/seed_8", "matmul_0", 8},
    {"v1.3-nccl/seed_8", "matmul_1", 8},    {"v2.10-hccl/col_8", "matmul_rand", 8},
    {"v2.10-hccl/mix_4", "matmul_rand", 4}, {"v2.10-hccl/seed_8", "matmul_0", 8},
    {"v2.10-hccl/seed_8", "matmul_1", 8}};

// The values of data/<stem>.npz.
std::map<std::string, Tensor> StoredValues(const std::string& stem);
// stem0, stem1, ...: "in" are the inputs, "out" the outputs.
std::vector<Tensor> Numbered(const std::map<std::string, Tensor>& data, const std::string& stem);
// Within what float16, or another order of sums in float32, makes of them.
void ExpectClose(const Tensor& came, const Tensor& wanted);

}  // namespace pipeserve
