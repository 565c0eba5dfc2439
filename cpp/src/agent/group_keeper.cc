#include "agent/group_keeper.h"

#include <algorithm>
#include <iomanip>
#include <random>
#include <sstream>
#include <utility>

#include "agent/shm_lane.h"
#include "base/secret.h"
#include "base/str_cat.h"
#include "pipeserve/log.h"

namespace pipeserve {
namespace {

// 128 random bits: guessing one is not a way in.
std::string NewToken() {
  std::random_device random;
  std::ostringstream token;
  token << std::hex << std::setfill('0');
  for (int i = 0; i < 4; ++i) token << std::setw(8) << random();
  return token.str();
}

// Agents outlive a server: their epochs must not repeat under its successor.
uint64_t LastEpochOfEarlierServers() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  constexpr int kBitsForEpochs = 20;
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count())
         << kBitsForEpochs;
}

}  // namespace

GroupKeeper::GroupKeeper(const AgentHubOptions& options)
    : servable_name_(options.servable_name),
      places_(options.rank_table.ranks),
      shape_{.rank_size = static_cast<int>(options.rank_table.ranks.size()),
             .stage_size = options.stage_size,
             .with_batch_dim = options.with_batch_dim,
             .without_batch_dim_inputs = options.without_batch_dim_inputs},
      call_timeout_(options.call_timeout),
      failover_timeout_(options.failover_timeout),
      lane_(options.lane),
      wait_for_all_(options.wait_for_all),
      last_epoch_before_(LastEpochOfEarlierServers()),
      state_(shape_.rank_size, last_epoch_before_),
      seats_(static_cast<size_t>(shape_.rank_size)) {}

GroupKeeper::~GroupKeeper() { Stop("the server is gone"); }

Status GroupKeeper::CheckRank(int rank) const {
  if (rank >= 0 && rank < shape_.rank_size) return OkStatus();
  return InvalidArgument(StrCat(servable_name_, " has ranks 0 to ", shape_.rank_size - 1,
                                ", there is no rank ", rank));
}

Result<std::string> GroupKeeper::Register(AgentSpec spec) {
  PIPESERVE_RETURN_IF_ERROR(CheckRank(spec.rank));
  if (spec.graphs.empty()) {
    return InvalidArgument(StrCat("rank ", spec.rank, " registers without a graph"));
  }
  MutexLock lock(mutex_);
  if (stopped_) return Unavailable(StrCat(servable_name_, " has stopped"));
  Seat& seat = seats_[static_cast<size_t>(spec.rank)];
  if (seat.link != nullptr) {
    if (seat.spec->instance != spec.instance) {
      return AlreadyExists(StrCat("rank ", spec.rank, " of ", servable_name_,
                                  " is already connected, from ", seat.spec->peer_address));
    }
    // The same process would not come back if its connection were alive.
    const Status reason = Unavailable(StrCat("rank ", spec.rank, " has registered again"));
    seat.link->Close(reason);
    return reason;
  }
  PIPESERVE_RETURN_IF_ERROR(CheckFits(spec));
  seat.spec = std::move(spec);
  seat.token = NewToken();
  return seat.token;
}

// Before the first group an agent has to fit those that are connected: one that is not may have
// been the one that was wrong. Later every rank is bound to what it said when the group formed.
Status GroupKeeper::CheckFits(const AgentSpec& spec) const {
  if (group_ != nullptr) {
    const AgentSpec& before = *seats_[static_cast<size_t>(spec.rank)].spec;
    if (before.graphs != spec.graphs) {
      return FailedPrecondition(StrCat("rank ", spec.rank, " of ", servable_name_,
                                       " comes back with other graphs than it had before"));
    }
    if (before.device == spec.device) return OkStatus();
    return FailedPrecondition(StrCat("rank ", spec.rank, " of ", servable_name_,
                                     " comes back with another device, ", Describe(spec.device),
                                     ", than it had before, ", Describe(before.device)));
  }
  AgentDevices devices = ConnectedDevices();
  devices[static_cast<size_t>(spec.rank)] = spec.device;
  PIPESERVE_RETURN_IF_ERROR(CheckDevices(devices));
  std::vector<AgentGraphs> agents = ConnectedGraphs();
  agents[static_cast<size_t>(spec.rank)] = spec.graphs;
  return CheckGroup(shape_, agents);
}

std::vector<AgentGraphs> GroupKeeper::ConnectedGraphs() const {
  std::vector<AgentGraphs> agents(seats_.size());
  for (size_t rank = 0; rank < seats_.size(); ++rank) {
    if (seats_[rank].link != nullptr) agents[rank] = seats_[rank].spec->graphs;
  }
  return agents;
}

AgentDevices GroupKeeper::ConnectedDevices() const {
  AgentDevices devices(seats_.size());
  for (size_t rank = 0; rank < seats_.size(); ++rank) {
    if (seats_[rank].link != nullptr) devices[rank] = seats_[rank].spec->device;
  }
  return devices;
}

Status GroupKeeper::Connect(int rank, const std::string& token, std::shared_ptr<AgentLink> link) {
  PIPESERVE_RETURN_IF_ERROR(CheckRank(rank));
  MutexLock lock(mutex_);
  if (stopped_) return Unavailable(StrCat(servable_name_, " has stopped"));
  Seat& seat = seats_[static_cast<size_t>(rank)];
  if (seat.link != nullptr || seat.token.empty() || !SameSecret(seat.token, token)) {
    return Unavailable(StrCat("rank ", rank, " has to register before it connects"));
  }
  PIPESERVE_RETURN_IF_ERROR(CheckFits(*seat.spec));
  seat.token.clear();
  seat.link = std::move(link);
  if (state_.Connect(rank)) FormGroup();
  return OkStatus();
}

void GroupKeeper::FormGroup() {
  if (group_ == nullptr) MakeGroup();
  Result<std::string> secret = NewSecret();
  if (!secret.ok()) {
    const uint64_t number = state_.epoch();
    return EndEpoch(number, state_.EndEpoch(number), secret.status());
  }
  const GroupEpoch epoch(state_.epoch(), *std::move(secret));
  std::vector<std::string> peers;
  for (const Seat& seat : seats_) peers.push_back(seat.spec->peer_address);
  OfferMemory(epoch);
  for (const Seat& seat : seats_) seat.link->FormGroup(epoch, peers, seat.ring.has_value());
}

// To every rank that can be reached without a network; the others get their calls over the stream.
void GroupKeeper::OfferMemory(const GroupEpoch& epoch) {
  for (Seat& seat : seats_) seat.ring.reset();
  space_.reset();
  no_memory_ = OkStatus();
  if (lane_ == LaneKind::kGrpc) return;
  Result<std::shared_ptr<ShmSpace>> space = ShmSpace::Create(group_->signatures());
  if (!space.ok()) {
    no_memory_ = space.status();
    return;
  }
  space_ = *std::move(space);
  for (size_t rank = 0; rank < seats_.size(); ++rank) {
    const Status status = OfferMemory(epoch, &seats_[rank]);
    if (!status.ok()) no_memory_ = status.WithContext(StrCat("rank ", rank));
  }
}

Status GroupKeeper::OfferMemory(const GroupEpoch& epoch, Seat* seat) const {
  if (seat->spec->lane_address.empty()) return Unavailable("the agent takes no shared memory");
  PIPESERVE_ASSIGN_OR_RETURN(ShmRingMemory ring, ShmRingMemory::Create());
  PIPESERVE_RETURN_IF_ERROR(space_->Offer(seat->spec->lane_address, epoch, ring));
  seat->ring = std::move(ring);
  return OkStatus();
}

void GroupKeeper::MakeGroup() {
  const std::vector<AgentGraphs> agents = ConnectedGraphs();
  std::vector<GraphSignature> signatures;
  for (size_t graph = 0; graph < agents.front().size(); ++graph) {
    signatures.push_back(
        {.inputs = agents.front()[graph].inputs, .outputs = agents.back()[graph].outputs});
  }
  group_ = std::make_shared<RemoteGroup>(
      RemoteGroupOptions{.servable_name = servable_name_,
                         .shape = shape_,
                         .all_stages_take_inputs = AllStagesTakeInputs(shape_, agents),
                         .signatures = std::move(signatures),
                         .call_timeout = call_timeout_,
                         .wait_for_all = wait_for_all_});
  executor_ = std::make_shared<FailoverGroup>(group_, failover_timeout_);
}

void GroupKeeper::GroupReady(int rank, uint64_t epoch, const Status& shares_memory) {
  Status begun, no_memory;
  {
    MutexLock lock(mutex_);
    if (epoch == state_.epoch()) {
      std::optional<ShmRingMemory>& ring = seats_[static_cast<size_t>(rank)].ring;
      if (ring.has_value() && !shares_memory.ok()) {
        no_memory_ = shares_memory.WithContext(StrCat("rank ", rank));
        ring.reset();
      }
    }
    if (stopped_ || !state_.Join(rank, epoch)) return;
    begun = BeginEpoch();
    no_memory = no_memory_;
  }
  changed_.NotifyAll();
  if (!begun.ok()) return;
  Log(LogLevel::kInfo, "group ready",
      {{"servable", servable_name_},
       {"epoch", std::to_string(epoch)},
       {"shared_memory", no_memory.ok() ? "all ranks" : std::string(no_memory.message())}});
}

Status GroupKeeper::BeginEpoch() {
  if (lane_ == LaneKind::kShm && !no_memory_.ok()) {
    failure_ =
        StrCat("the lane is set to shm, but memory cannot be shared: ", no_memory_.message());
    const Status reason = FailedPrecondition(StrCat(servable_name_, ": ", *failure_));
    EndEpoch(state_.epoch(), state_.EndEpoch(state_.epoch()), reason);
    return reason;
  }
  std::vector<std::shared_ptr<Lane>> lanes;
  for (Seat& seat : seats_) {
    if (!seat.ring.has_value()) {
      lanes.push_back(seat.link);
      continue;
    }
    lanes.push_back(std::make_shared<ShmLane>(*std::exchange(seat.ring, std::nullopt), space_,
                                              seat.link, group_->signatures()));
  }
  group_->BeginEpoch(state_.epoch(), std::move(lanes));
  failure_.reset();
  return OkStatus();
}

void GroupKeeper::GroupFailed(int rank, uint64_t epoch, const std::string& message) {
  const Status reason =
      Unavailable(StrCat(servable_name_, ": rank ", rank, " could not join its peers: ", message));
  {
    MutexLock lock(mutex_);
    const std::vector<int> leaving = state_.EndEpoch(epoch);
    if (leaving.empty()) return;  // An epoch that is over already.
    EndEpoch(epoch, leaving, reason);
  }
  Log(LogLevel::kWarning, "group failed to form",
      {{"servable", servable_name_}, {"epoch", std::to_string(epoch)}, {"reason", message}});
}

void GroupKeeper::CallFailed(int rank, uint64_t epoch, uint64_t sequence, const Status& status) {
  std::shared_ptr<RemoteGroup> group;
  {
    MutexLock lock(mutex_);
    group = group_;
  }
  if (group != nullptr) group->OnFailure(rank, epoch, sequence, status);
}

void GroupKeeper::Disconnected(int rank, const Status& reason) {
  LogLevel level = LogLevel::kWarning;
  {
    MutexLock lock(mutex_);
    if (stopped_) level = LogLevel::kInfo;  // As it was told to.
    Seat& seat = seats_[static_cast<size_t>(rank)];
    seat.link = nullptr;
    const uint64_t epoch = state_.epoch();
    const std::vector<int> leaving = state_.Disconnect(rank);
    if (group_ != nullptr) group_->OnClosed(rank, epoch, reason);
    EndEpoch(epoch, leaving, Unavailable(StrCat("rank ", rank, " is gone: ", reason.message())));
  }
  changed_.NotifyAll();
  Log(level, "agent disconnected",
      {{"servable", servable_name_}, {"rank", std::to_string(rank)}, {"reason", reason.message()}});
}

void GroupKeeper::EndEpoch(uint64_t epoch, const std::vector<int>& leaving, const Status& reason) {
  if (!leaving.empty() && group_ != nullptr) group_->EndEpoch(epoch, reason);
  for (const int rank : leaving) seats_[static_cast<size_t>(rank)].link->Close(reason);
}

void GroupKeeper::ReportFailure(const std::string& reason) {
  {
    MutexLock lock(mutex_);
    failure_ = reason;
  }
  changed_.NotifyAll();
}

Result<std::shared_ptr<Executor>> GroupKeeper::WaitReady(Deadline deadline) {
  MutexLock lock(mutex_);
  while (true) {
    if (stopped_) return Cancelled("Worker or Agents has stopped");
    if (group_ != nullptr && group_->ready()) return std::shared_ptr<Executor>(executor_);
    if (failure_.has_value()) {
      return FailedPrecondition(
          StrCat("Failed to starting all agents, maybe some error reported: ", *failure_));
    }
    if (deadline.HasPassed()) {
      return DeadlineExceeded(StrCat(
          "Failed to wait for ready of all agents, current agents count: ", state_.present_count(),
          ", rank size: ", shape_.rank_size));
    }
    changed_.WaitUntil(mutex_, deadline);
  }
}

uint64_t GroupKeeper::ready_epoch() const {
  MutexLock lock(mutex_);
  return group_ != nullptr && group_->ready() ? state_.epoch() : 0;
}

bool GroupKeeper::available() const {
  MutexLock lock(mutex_);
  return executor_ != nullptr && executor_->available();
}

AgentGroupState GroupKeeper::state() const {
  MutexLock lock(mutex_);
  AgentGroupState described{.phase = NameOf(state_.phase()),
                            .epoch = state_.epoch() > last_epoch_before_ ? state_.epoch() : 0,
                            .epoch_count = state_.epoch() - last_epoch_before_,
                            .stage_size = shape_.stage_size};
  for (int rank = 0; rank < shape_.rank_size; ++rank) {
    const auto place = static_cast<size_t>(rank);
    AgentState agent{.rank = rank,
                     .ip = places_[place].ip,
                     .device_id = places_[place].device_id,
                     .state = NameOf(state_.rank(rank))};
    if (const Seat& seat = seats_[place]; seat.link != nullptr) {
      agent.peer_address = seat.spec->peer_address;
      agent.device = seat.spec->device.kind;
    }
    described.agents.push_back(std::move(agent));
  }
  return described;
}

void GroupKeeper::Stop(const std::string& reason) {
  {
    MutexLock lock(mutex_);
    if (std::exchange(stopped_, true)) return;
    for (const Seat& seat : seats_) {
      if (seat.link != nullptr) seat.link->Exit(reason);
    }
    if (group_ != nullptr) group_->Stop(Unavailable(StrCat(servable_name_, ": ", reason)));
  }
  changed_.NotifyAll();
}

}  // namespace pipeserve
