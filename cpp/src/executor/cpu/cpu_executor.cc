#include "executor/cpu/cpu_executor.h"

#include <utility>

#include "base/mutex.h"
#include "base/str_cat.h"
#include "executor/cpu/graph_runner.h"
#include "executor/cpu/kernel_choice.h"

namespace pipeserve {
namespace {

Status CheckOptions(const CpuExecutorOptions& options) {
  constexpr int kMaxThreads = 1024;
  if (options.threads < 1 || options.threads > kMaxThreads) {
    return InvalidArgument(
        StrCat("threads is ", options.threads, ", wanted is 1 to ", kMaxThreads));
  }
  if (options.rank_size < 1) {
    return InvalidArgument(StrCat("rank_size is ", options.rank_size, ", wanted is at least 1"));
  }
  return OkStatus();
}

// Where stages have different inputs, one rank's call can be wrong and its peers wait for it all
// the same. Such an error must not pass for one that all ranks find alike.
Status AsOwnError(Status status) {
  const bool seems_alike =
      status.code() == StatusCode::kInvalidArgument || status.code() == StatusCode::kUnimplemented;
  return seems_alike ? FailedPrecondition(status.message()) : status;
}

// Lets one call at a time use the communicator. The turn is a flag, not a held lock, so that a call
// waits for it no longer than its deadline.
class CommunicatorTurn {
 public:
  // Errors: kDeadlineExceeded, kUnavailable (there is no communicator).
  Result<Communicator*> Take(Deadline deadline) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    if (communicator_ == nullptr) {
      return Unavailable("the rank has not joined a group yet, its graphs wait for one");
    }
    while (taken_) {
      if (!free_.WaitUntil(mutex_, deadline) && taken_) {
        return DeadlineExceeded("the deadline passed while another call ran on this rank");
      }
    }
    taken_ = true;
    return communicator_.get();
  }

  void GiveBack() EXCLUDES(mutex_) {
    {
      MutexLock lock(mutex_);
      taken_ = false;
    }
    free_.NotifyOne();
  }

  void Set(std::shared_ptr<Communicator> communicator) EXCLUDES(mutex_) {
    MutexLock lock(mutex_);
    communicator_.swap(communicator);
  }

 private:
  Mutex mutex_;
  CondVar free_;
  bool taken_ GUARDED_BY(mutex_) = false;
  std::shared_ptr<Communicator> communicator_ GUARDED_BY(mutex_);
};

}  // namespace

class CpuExecutor::Impl {
 public:
  explicit Impl(const CpuExecutorOptions& options) : team_(options.threads) {
    turn_.Set(options.communicator);
  }

  ThreadTeam team_;
  CommunicatorTurn turn_;
  std::vector<std::unique_ptr<GraphRunner>> runners_;
};

CpuExecutor::CpuExecutor(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CpuExecutor::~CpuExecutor() = default;

Result<std::unique_ptr<CpuExecutor>> CpuExecutor::Create(std::vector<Graph> graphs,
                                                         const CpuExecutorOptions& options) {
  PIPESERVE_RETURN_IF_ERROR(CheckOptions(options));
  PlanOptions plan{options.kernels, options.threads, options.rank_size};
  if (plan.kernels == nullptr) {
    PIPESERVE_ASSIGN_OR_RETURN(plan.kernels, kernels::ChooseKernels());
  }
  auto impl = std::make_unique<Impl>(options);
  for (Graph& graph : graphs) {
    const auto id = static_cast<GraphId>(impl->runners_.size());
    const std::string name = graph.name;
    auto runner = GraphRunner::Create(id, std::move(graph), plan);
    if (!runner.ok()) return runner.status().WithContext(StrCat("graph ", id, " (", name, ")"));
    impl->runners_.push_back(*std::move(runner));
  }
  return std::unique_ptr<CpuExecutor>(new CpuExecutor(std::move(impl)));
}

int CpuExecutor::graph_count() const { return static_cast<int>(impl_->runners_.size()); }

const GraphSignature& CpuExecutor::signature(GraphId graph) const {
  return impl_->runners_[static_cast<size_t>(graph)]->signature();
}

bool CpuExecutor::RunsAlone(GraphId graph) const {
  return !impl_->runners_[static_cast<size_t>(graph)]->meets_others();
}

Status CpuExecutor::Run(GraphId graph, std::span<const Tensor> inputs, const CallContext& context,
                        std::vector<Tensor>* outputs) {
  if (graph < 0 || graph >= graph_count()) {
    return InvalidArgument(
        StrCat("there is no graph ", graph, ", the servable has ", graph_count()));
  }
  if (context.deadline.HasPassed()) {
    return DeadlineExceeded(StrCat("the deadline passed before graph ", graph, " ran"));
  }
  GraphRunner& runner = *impl_->runners_[static_cast<size_t>(graph)];
  PlanCall call{&impl_->team_, nullptr, context.deadline, context.places, context.outputs_wanted};
  if (!runner.meets_others()) return runner.Run(inputs, call, outputs);
  PIPESERVE_ASSIGN_OR_RETURN(call.communicator, impl_->turn_.Take(context.deadline));
  Status status = runner.Run(inputs, call, outputs);
  impl_->turn_.GiveBack();
  return runner.has_messages() ? AsOwnError(std::move(status)) : status;
}

int64_t CpuExecutor::copied_inputs() const {
  int64_t copies = 0;
  for (const auto& runner : impl_->runners_) copies += runner->copied_inputs();
  return copies;
}

void CpuExecutor::LeaveGroup() { impl_->turn_.Set(nullptr); }

Status CpuExecutor::JoinGroup(std::shared_ptr<Communicator> communicator, Deadline /*deadline*/,
                              const AnnounceCommunicator& announce) {
  impl_->turn_.Set(communicator);
  announce(std::move(communicator));
  return OkStatus();
}

}  // namespace pipeserve
