// Brings ranks together, each a process of this program, and loses one.
#include <algorithm>
#include <memory>
#include <utility>
#include <vector>

#include "base/str_cat.h"
#include "checks.h"
#include "collectives_rank.h"
#include "process.h"

namespace pipeserve::ascend::check {
namespace {

// The processes of all ranks of one group.
class Ranks {
 public:
  explicit Ranks(const Options& options) : options_(options) {}

  Status Start(uint32_t count, bool last_is_killed) {
    for (uint32_t rank = 0; rank < count; ++rank) {
      std::vector<std::string> arguments = options_.arguments;
      arguments.insert(arguments.end(),
                       {"--role", RankRole{rank, count, last_is_killed}.ToString()});
      PIPESERVE_ASSIGN_OR_RETURN(std::unique_ptr<Child> child, Child::Start(std::move(arguments)));
      children_.push_back(std::move(child));
    }
    return OkStatus();
  }

  // The next word of a rank, which is to be `kind`.
  Result<Json> Hear(size_t rank, const char* kind) {
    PIPESERVE_ASSIGN_OR_RETURN(const std::optional<Json> message,
                               children_[rank]->Hear(Deadline::After(options_.patience)));
    if (!message.has_value()) {
      return Internal(StrCat("rank ", rank, " ", children_[rank]->AwaitEnd()));
    }
    if (message->contains(kind)) return (*message)[kind];
    // It failed before.
    if (message->contains("sums")) return Internal(StrCat("rank ", rank, ": ", ErrorIn(*message)));
    return Internal(StrCat("rank ", rank, " says ", message->dump(), " instead of ", kind));
  }

  Status ShareRoot() {
    PIPESERVE_ASSIGN_OR_RETURN(const Json root, Hear(0, "root"));
    for (size_t rank = 1; rank < children_.size(); ++rank) {
      children_[rank]->Tell({{"root", root}});
    }
    return OkStatus();
  }

  // Of each of the first `count` ranks, what it says; the first failure of all.
  Result<std::vector<Json>> HearAll(const char* kind, size_t count) {
    std::vector<Json> all;
    Status first;
    for (size_t rank = 0; rank < count; ++rank) {
      PIPESERVE_ASSIGN_OR_RETURN(Json one, Hear(rank, kind));
      if (first.ok() && one.is_object() && one["ok"] != true) {
        first = Internal(StrCat("rank ", rank, ": ", one["error"].get<std::string>()));
      }
      all.push_back(std::move(one));
    }
    if (!first.ok()) return first;
    return all;
  }

  void KillLast() { children_.back()->Kill(); }
  size_t size() const { return children_.size(); }

 private:
  static std::string ErrorIn(const Json& message) {
    return message["sums"].value("error", "ended early");
  }

  const Options& options_;
  std::vector<std::unique_ptr<Child>> children_;
};

Json Column(const std::vector<Json>& all, const char* key) {
  Json column = Json::array();
  for (const Json& each : all) column.push_back(each[key]);
  return column;
}

bool AllSame(const Json& column) {
  return std::all_of(column.begin(), column.end(),
                     [&](const Json& each) { return each == column.front(); });
}

Status JoinAndSum(Ranks& ranks, Json& found) {
  // Before any waits for the others in HCCL, which takes long to give up.
  PIPESERVE_RETURN_IF_ERROR(ranks.HearAll("ready", ranks.size()).status());
  PIPESERVE_RETURN_IF_ERROR(ranks.ShareRoot());
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<Json> sums, ranks.HearAll("sums", ranks.size()));
  found["creation_ms"] = Column(sums, "creation_ms");
  found["all_reduce_in_place"] = sums.front()["counts"];
  found["order_of_sums"] = sums.front()["order"];
  found["repeats_bits"] = sums.front()["repeats_bits"];
  found["same_bits_on_all_ranks"] = AllSame(Column(sums, "digest"));
  return OkStatus();
}

// Kills the last rank while the others wait for it.
Status LoseLast(Ranks& ranks, Json& found) {
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    PIPESERVE_RETURN_IF_ERROR(ranks.Hear(rank, "waiting").status());
  }
  ranks.KillLast();
  PIPESERVE_ASSIGN_OR_RETURN(const std::vector<Json> ends, ranks.HearAll("end", ranks.size() - 1));
  found["after_ms"] = Column(ends, "after_ms");
  found["codes"] = Column(ends, "code");
  return OkStatus();
}

Status FirstGroup(const Options& options, uint32_t count, Json& found) {
  Ranks ranks(options);
  PIPESERVE_RETURN_IF_ERROR(ranks.Start(count, true));
  PIPESERVE_RETURN_IF_ERROR(JoinAndSum(ranks, found));
  return LoseLast(ranks, found["rank_killed"]).WithContext("after a rank was killed");
}

// Of new processes, as the backend has them after a loss.
Status NextGroup(const Options& options, uint32_t count, Json& found) {
  Ranks ranks(options);
  PIPESERVE_RETURN_IF_ERROR(ranks.Start(count, false));
  PIPESERVE_RETURN_IF_ERROR(JoinAndSum(ranks, found));
  return ranks.HearAll("closed", count).status();
}

}  // namespace

Status CheckCollectives(const Options& options, Json& found) {
  const auto count = static_cast<uint32_t>(options.ranks > 0 ? options.ranks : kUsualRanks);
  found["ranks"] = count;
  PIPESERVE_RETURN_IF_ERROR(FirstGroup(options, count, found));
  return NextGroup(options, count, found["created_again"])
      .WithContext("a new group after a rank was killed");
}

}  // namespace pipeserve::ascend::check
