// group_config.pb, the writing side.
#include "graph/file_writer.h"
#include "graph/model_file.h"
#include "mindir.pb.h"

namespace pipeserve {

Status WriteGroupFile(const std::filesystem::path& path, const GroupMap& groups) {
  mindir::ParallelGroupMap message;
  for (const auto& [name, ranks] : groups) {
    mindir::ParallelGroupItem& item = *message.add_parallel_group_item();
    item.set_group_name(name);
    for (const int32_t rank : ranks) {
      item.mutable_parallel_group_ranks()->add_dim(static_cast<uint32_t>(rank));
    }
  }
  return WriteMessage(path, message);
}

}  // namespace pipeserve
