#include "graph/model_file.h"
#include "mindir.pb.h"
#include "support/fixtures.h"
#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

std::string GroupBytes(
    std::initializer_list<std::pair<const char*, std::vector<uint32_t>>> groups) {
  mindir::ParallelGroupMap message;
  for (const auto& [name, ranks] : groups) {
    mindir::ParallelGroupItem& item = *message.add_parallel_group_item();
    item.set_group_name(name);
    for (const uint32_t rank : ranks) item.mutable_parallel_group_ranks()->add_dim(rank);
  }
  return message.SerializeAsString();
}

TEST(GroupFileTest, ReadsSharedFiles) {
  SKIP_WITHOUT_SHARED_FILES();
  const auto none =
      ReadGroupFile(SharedFile("mindir/sharded/v1.3-nccl/seed_8/device0/group_config.pb"));
  ASSERT_OK(none);
  EXPECT_THAT(*none, IsEmpty());
  const auto only_restore =
      ReadGroupFile(SharedFile("mindir/sharded/v2.10-hccl/seed_8/device3/group_config.pb"));
  ASSERT_OK(only_restore);
  EXPECT_THAT(*only_restore, IsEmpty());
  const auto pairs =
      ReadGroupFile(SharedFile("mindir/sharded/v2.10-hccl/mix_4/device0/group_config.pb"));
  ASSERT_OK(pairs);
  EXPECT_THAT(*pairs, ElementsAre(Pair("2-5004544844489628105", ElementsAre(0, 1)),
                                  Pair("2-5208665662337742843", ElementsAre(0, 2))));
}

TEST(GroupFileTest, RefusesWhatIsNoGroup) {
  const TestFolder folder;
  const auto read = [&](std::string_view bytes) {
    return ReadGroupFile(folder.Write("group_config.pb", bytes));
  };
  EXPECT_ERROR(ReadGroupFile(folder.path() / "none.pb"), kNotFound, "none.pb");
  EXPECT_ERROR(read("hello"), kInvalidArgument, "group_config.pb");
  EXPECT_ERROR(read(GroupBytes({{"g", {}}})), kInvalidArgument, "group g has no ranks");
  EXPECT_ERROR(read(GroupBytes({{"g", {1, 0}}})), kInvalidArgument, "ascending");
  EXPECT_ERROR(read(GroupBytes({{"g", {1, 1}}})), kInvalidArgument, "ascending");
  EXPECT_ERROR(read(GroupBytes({{"g", {0xFFFFFFFF}}})), kInvalidArgument, "rank 4294967295");
  EXPECT_ERROR(read(GroupBytes({{"", {0}}})), kInvalidArgument, "no name");
  EXPECT_ERROR(read(GroupBytes({{"g", {0}}, {"g", {0}}})), kInvalidArgument, "listed twice");
}

}  // namespace
}  // namespace pipeserve
