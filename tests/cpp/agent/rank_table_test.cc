#include "agent/rank_table.h"

#include <gtest/gtest.h>

#include "base/str_cat.h"
#include "support/matchers.h"
#include "support/mutator.h"

namespace pipeserve {
namespace {

Result<RankTable> Parse(const std::string& text) { return ParseRankTable(text, "t.json"); }

std::string Servers(const std::string& devices) {
  return R"({"version":"1.0","server_list":[{"server_id":"10.0.0.1","device":[)" + devices + "]}]}";
}

RankTable Table(int ranks, int per_machine) {
  RankTable table;
  for (int rank = 0; rank < ranks; ++rank) {
    table.ranks.push_back({StrCat("10.0.0.", rank / per_machine), rank % per_machine});
  }
  return table;
}

TEST(RankTableTest, ReadsServerList) {
  const std::string text = Servers(R"({"device_id":"3","rank_id":"0","device_ip":"1.2.3.4"},
                                      {"device_id":"5","rank_id":"1"})");
  const Result<RankTable> table = Parse(text);
  ASSERT_OK(table);
  ASSERT_EQ(table->ranks.size(), 2u);
  EXPECT_EQ(table->ranks[1].ip, "10.0.0.1");
  EXPECT_EQ(table->ranks[1].device_id, 5);
  EXPECT_EQ(table->content, text);
}

TEST(RankTableTest, ReadsGroupList) {
  const Result<RankTable> table = Parse(
      R"({"group_list":[{"instance_list":[
           {"devices":[{"device_id":"4"},{"device_id":"9"}],"rank_id":"0","server_id":"a"},
           {"devices":[{"device_id":"6"}],"rank_id":"1","server_id":"b"}]}]})");
  ASSERT_OK(table);
  ASSERT_EQ(table->ranks.size(), 2u);
  EXPECT_EQ(table->ranks[0].device_id, 4);
  EXPECT_EQ(table->ranks[1].ip, "b");
}

TEST(RankTableTest, MissingEmptyAndWrongTypesAreTheSameError) {
  for (const char* text : {"{}", R"({"server_list":[]})", R"({"server_list":"x"})"}) {
    EXPECT_ERROR(Parse(text), kInvalidArgument, "server_list attr is empty in");
  }
  EXPECT_ERROR(Parse(R"({"server_list":[{"device":[{}]}]})"), kInvalidArgument,
               "server_id attr is empty in");
  EXPECT_ERROR(Parse(R"({"server_list":[1]})"), kInvalidArgument, "server_id attr is empty in");
  EXPECT_ERROR(Parse(Servers("")), kInvalidArgument, "device attr is empty in");
  EXPECT_ERROR(Parse(Servers(R"({"rank_id":"0"})")), kInvalidArgument,
               "device_id attr is empty in");
  EXPECT_ERROR(Parse(Servers(R"({"device_id":"0","rank_id":0})")), kInvalidArgument,
               "rank_id attr is empty in");
  EXPECT_ERROR(Parse(R"({"group_list":[]})"), kInvalidArgument, "group_list attr is empty in");
  EXPECT_ERROR(Parse(R"({"group_list":[{}]})"), kInvalidArgument, "instance_list attr is empty in");
  EXPECT_ERROR(Parse(R"({"group_list":[{"instance_list":[{"server_id":"a","rank_id":"0"}]}]})"),
               kInvalidArgument, "devices attr is empty in");
}

TEST(RankTableTest, NumbersAreCanonicalDecimals) {
  for (const char* bad : {"0wer", "01", "-1", "+1", " 1", "99999999999999999999"}) {
    EXPECT_ERROR(Parse(Servers(StrCat(R"({"device_id":")", bad, R"(","rank_id":"0"})"))),
                 kInvalidArgument, "device_idattr is invalid argument in");
  }
}

TEST(RankTableTest, RanksCountUpInFileOrder) {
  EXPECT_ERROR(Parse(Servers(R"({"device_id":"0","rank_id":"1"})")), kInvalidArgument,
               "device size not match rank_id in");
}

TEST(RankTableTest, TextThatIsNoObject) {
  EXPECT_ERROR(Parse("{"), kInvalidArgument, "parse error:");
  EXPECT_ERROR(Parse("[]"), kInvalidArgument, "is not json object");
  EXPECT_ERROR(Parse(std::string(100'000, '[')), kInvalidArgument, "parse error:");
  EXPECT_ERROR(ReadRankTable("/no/such/table.json"), kNotFound, "failed to get realpath of");
}

TEST(RankTableTest, SizesMustAgree) {
  EXPECT_ERROR(CheckRankTable(Table(3, 8), 3, 2, "f"), kFailedPrecondition,
               "Rank size must be an integral multiple of stage size");
  EXPECT_ERROR(CheckRankTable(Table(3, 8), 2, 1, "f"), kFailedPrecondition,
               "Rank size 3 declared in rank table file 'f' not equal to 2 declared in servable "
               "config");
  EXPECT_OK(CheckRankTable(Table(3, 8), 3, 1, "f"));
}

TEST(RankTableTest, EveryDeviceIsUsedOnce) {
  for (const int stages : {1, 2}) {
    RankTable table = Table(2, 8);
    table.ranks[1].device_id = 0;
    EXPECT_ERROR(CheckRankTable(table, 2, stages, "f"), kFailedPrecondition,
                 "device id repeatedly used by rank");
    table.ranks[1].device_id = 8;
    EXPECT_ERROR(CheckRankTable(table, 2, stages, "f"), kFailedPrecondition,
                 "device id cannot larger than 8");
  }
}

TEST(RankTableTest, StagesHaveAnyNumberOfRanksAnywhere) {
  EXPECT_OK(CheckRankTable(Table(2, 8), 2, 2, "f"));
  EXPECT_OK(CheckRankTable(Table(16, 8), 16, 2, "f"));
  RankTable table = Table(8, 8);
  std::swap(table.ranks[1], table.ranks[6]);
  table.ranks[3].ip = "other";
  EXPECT_OK(CheckRankTable(table, 8, 2, "f"));
}

TEST(RankTableTest, DamagedTablesAreReadOrRefusedWithAText) {
  constexpr std::string_view kTokens[] = {
      "null", "[]",      "{}",   "-1",      "1e999", "18446744073709551616",
      "\"\"", "\\ud800", "true", "[[[[[[[["};
  const std::string seeds[] = {
      Servers(R"({"device_id":"3","rank_id":"0"},{"device_id":"5","rank_id":"1"})"),
      R"({"group_list":[{"instance_list":[{"devices":[{"device_id":"4"}],"rank_id":"0",
          "server_id":"a"}]}]})"};
  Mutator mutator(kTokens);
  int read = 0, refused = 0;
  for (int i = 0; i < DamagedInputs(20'000) && !HasFailure(); ++i) {
    const std::string text = mutator.Mutate(seeds[i % 2]);
    SCOPED_TRACE(text);
    const Result<RankTable> table = Parse(text);
    ++(table.ok() ? read : refused);
    EXPECT_TRUE(table.ok() || table.status().code() == StatusCode::kInvalidArgument)
        << table.status();
    for (int ranks = 1; table.ok() && ranks < 3; ++ranks) {
      const Status status = CheckRankTable(*table, ranks, 1, "t.json");
      EXPECT_TRUE(status.ok() || !status.message().empty());
    }
  }
  EXPECT_GT(read, 100);
  EXPECT_GT(refused, 100);
}

}  // namespace
}  // namespace pipeserve
