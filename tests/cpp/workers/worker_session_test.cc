// Front and worker in one process, at the two ends of a socket.
#include "pipeserve/worker_session.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <future>
#include <thread>

#include "pipeserve/worker_pool.h"
#include "scheduler/request_scope.h"
#include "scheduler/submitted_call.h"
#include "support/gate.h"
#include "support/matchers.h"
#include "workers/channel.h"

namespace pipeserve {
namespace {

using Results = std::vector<Result<Instance>>;
using OneToOne = std::function<Result<Instance>(const Instance&)>;

Instance Float(float value) { return {Tensor::Of<float>({1}, {value})}; }

float FloatOf(const Result<Instance>& instance) {
  EXPECT_OK(instance);
  return instance.ok() && instance->size() == 1 ? *(*instance)[0].data_as<float>() : -1;
}

class Resident final : public ResidentTensor {
 public:
  explicit Resident(Tensor tensor) : tensor_(std::move(tensor)) {}
  DataType dtype() const override { return tensor_.dtype(); }
  const Shape& shape() const override { return tensor_.shape(); }
  std::string ToString() const override { return "float32[1] (output 0 of fake.negate)"; }
  Result<Tensor> Fetch() const override { return tensor_; }

 private:
  const Tensor tensor_;
};

// Its only method negates; "step" has a function in the worker.
class FakeHost final : public MethodHost {
 public:
  Result<Results> RunMethod(const std::string& servable, uint64_t version,
                            const std::string& method, std::vector<Instance> instances,
                            const ResidentTensors& residents, HostLock* /*held*/) override {
    EXPECT_EQ(servable, "fake");
    EXPECT_EQ(version, 3);
    resident_arguments += static_cast<int>(residents.size());
    if (method == "step") return step->Call(instances);
    if (method != "negate") return NotFound("Not support method " + method);
    Results results;
    for (const Instance& instance : instances) results.emplace_back(Float(-FloatOf(instance)));
    return results;
  }
  Result<std::vector<Result<ResidentTensors>>> RunAndKeep(
      const std::string& servable, uint64_t version, const std::string& method,
      std::vector<Instance> instances, const ResidentTensors& residents, HostLock* held) override {
    PIPESERVE_ASSIGN_OR_RETURN(
        const Results results,
        RunMethod(servable, version, method, std::move(instances), residents, held));
    std::vector<Result<ResidentTensors>> kept;
    for (const Result<Instance>& result : results) {
      const auto resident = std::make_shared<Resident>((*result)[0]);
      last_kept = resident;
      kept.emplace_back(ResidentTensors{resident});
    }
    return kept;
  }
  Result<std::shared_ptr<PendingCall>> SubmitMethod(const std::string& servable, uint64_t version,
                                                    const std::string& method,
                                                    std::vector<Instance> instances,
                                                    ResidentTensors residents) override {
    const auto call = std::make_shared<SubmittedCall>(nullptr, [=, this]() {
      return SubmittedCall::Outcome(
          RunMethod(servable, version, method, instances, residents, nullptr));
    });
    if (runs_submitted) call->Run();
    return std::shared_ptr<PendingCall>(call);
  }
  Result<std::shared_ptr<PendingCall>> SubmitAndKeep(const std::string& /*servable*/,
                                                     uint64_t /*version*/,
                                                     const std::string& /*method*/,
                                                     std::vector<Instance> /*instances*/,
                                                     ResidentTensors /*residents*/) override {
    return Unimplemented("not here");
  }

  std::shared_ptr<HostFunction> step;
  std::weak_ptr<Resident> last_kept;
  std::atomic<int> resident_arguments{0};
  std::atomic<bool> runs_submitted{true};
};

class WorkerSessionTest : public ::testing::Test {
 protected:
  ~WorkerSessionTest() override {
    pool_.Close();
    pool_.EndWorkers();
    for (std::thread& server : servers_) server.join();
  }

  // A worker that serves on a thread of its own.
  WorkerSession& AddWorker(WorkerSession::Functions functions) {
    int sockets[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    auto session = WorkerSession::Create(sockets[1], std::move(functions));
    EXPECT_OK(session);
    sessions_.push_back(*std::move(session));
    WorkerSession& made = *sessions_.back();
    servers_.emplace_back([&made] { EXPECT_OK(made.Serve()); });
    EXPECT_OK(pool_.Add(sockets[0], -1));
    return made;
  }

  // The other end of one that a test plays itself.
  WorkerChannel AddPlayed() {
    int sockets[2];
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets), 0);
    number_ = *pool_.Add(sockets[0], -1);
    return *WorkerChannel::Open(sockets[1]);
  }

  static std::shared_ptr<HostFunction> Make(OneToOne body) {
    return MakeHostFunction("made", std::move(body));
  }

  Result<Instance> Call(const std::string& key, Instance input) {
    return std::move(pool_.Function(key, key, "")->Call(std::span(&input, 1)).front());
  }

  Result<Instance> Run(WorkerSession& session, const std::string& method, Instance input) {
    PIPESERVE_ASSIGN_OR_RETURN(
        Results results, session.RunMethod("ignored", 0, method, {std::move(input)}, {}, nullptr));
    return std::move(results.front());
  }

  FakeHost host_;
  WorkerPool pool_{host_,
                   {.servable = "fake", .version = 3, .grace = std::chrono::milliseconds(50)}};
  uint64_t number_ = 0;
  std::vector<std::unique_ptr<WorkerSession>> sessions_;
  std::vector<std::thread> servers_;
};

TEST_F(WorkerSessionTest, AFunctionRunsInTheWorkerAndItsMethodsInTheFront) {
  WorkerSession* session = nullptr;
  session = &AddWorker({{"f", Make([&](const Instance& x) -> Result<Instance> {
                           return Run(*session, "negate", Float(FloatOf(x) + 1));
                         })}});
  EXPECT_EQ(FloatOf(Call("f", Float(4))), -5);
}

TEST_F(WorkerSessionTest, ErrorsKeepCodeAndText) {
  WorkerSession* session = nullptr;
  session = &AddWorker(
      {{"f", Make([&](const Instance& x) { return Run(*session, "nothing", x); })},
       {"g", Make([](const Instance&) -> Result<Instance> { return Internal("KeyError: 1"); })}});
  EXPECT_ERROR(Call("f", Float(4)), kNotFound, "Not support method nothing");
  EXPECT_ERROR(Call("g", Float(4)), kInternal, "KeyError: 1");
  EXPECT_ERROR(Call("h", Float(4)), kInternal, "no function h");
}

TEST_F(WorkerSessionTest, AMethodsFunctionRunsInTheWorkerThatAsksForTheMethod) {
  host_.step = pool_.Function("step", "step", "step");
  WorkerSession* session = nullptr;
  session =
      &AddWorker({{"f", Make([&](const Instance& x) { return Run(*session, "step", x); })},
                  // Asks for a method itself: three deep.
                  {"step", Make([&](const Instance& x) { return Run(*session, "negate", x); })}});
  EXPECT_EQ(FloatOf(Call("f", Float(4))), -4);
}

TEST_F(WorkerSessionTest, ThreadsOfAFunctionAskInTurn) {
  host_.step = pool_.Function("step", "step", "step");
  WorkerSession* session = nullptr;
  const auto add_up = [&](const std::string& method) {
    return [&, method](const Instance&) -> Result<Instance> {
      std::atomic<int> sum{0};
      std::vector<std::thread> threads;
      for (int i = 0; i < 8; ++i) {
        threads.emplace_back([&, i] {
          sum += static_cast<int>(FloatOf(Run(*session, method, Float(static_cast<float>(i)))));
        });
      }
      for (std::thread& thread : threads) thread.join();
      return Float(static_cast<float>(sum));
    };
  };
  session = &AddWorker({{"f", Make(add_up("step"))}, {"step", Make(add_up("negate"))}});
  EXPECT_EQ(FloatOf(Call("f", Float(0))), -28 * 8);
}

TEST_F(WorkerSessionTest, NothingRunsWithoutARequest) {
  WorkerSession& session = AddWorker({});
  EXPECT_ERROR(Run(session, "negate", Float(1)), kFailedPrecondition, "none now");
}

TEST_F(WorkerSessionTest, KeptOutputsStayInTheFront) {
  WorkerSession* session = nullptr;
  ResidentTensors leaked;
  session = &AddWorker({{"f", Make([&](const Instance& x) -> Result<Instance> {
                           auto kept = session->RunAndKeep("", 0, "negate", {x}, {}, nullptr);
                           EXPECT_OK(kept);
                           leaked = *kept->front();
                           Result<Instance> again =
                               Run(*session, "negate", {*leaked[0]->AsArgument()});
                           EXPECT_EQ(FloatOf(again), 4);
                           EXPECT_EQ(FloatOf(Instance{*leaked[0]->Fetch()}), -4);
                           return Instance{*leaked[0]->AsArgument()};
                         })},
                        {"use", Make([&](const Instance&) -> Result<Instance> {
                           PIPESERVE_ASSIGN_OR_RETURN(Tensor tensor, leaked[0]->Fetch());
                           return Instance{std::move(tensor)};
                         })}});
  EXPECT_EQ(FloatOf(Call("f", Float(4))), -4);
  EXPECT_EQ(host_.resident_arguments, 1);
  EXPECT_TRUE(host_.last_kept.expired());
  EXPECT_ERROR(Call("use", Float(4)), kFailedPrecondition,
               "float32[1] (output 0 of fake.negate): its request has ended");
}

TEST_F(WorkerSessionTest, AHandleThatIsDroppedFreesItsOutputAtTheNextQuestion) {
  WorkerSession* session = nullptr;
  session = &AddWorker({{"f", Make([&](const Instance& x) -> Result<Instance> {
                           auto kept = session->RunAndKeep("", 0, "negate", {x}, {}, nullptr);
                           EXPECT_FALSE(host_.last_kept.expired());
                           kept = NotFound("dropped");
                           EXPECT_OK(Run(*session, "negate", x));
                           EXPECT_TRUE(host_.last_kept.expired());
                           return x;
                         })}});
  EXPECT_OK(Call("f", Float(4)));
}

TEST_F(WorkerSessionTest, SubmittedCallsAreAwaitedAndTakenBack) {
  WorkerSession* session = nullptr;
  session = &AddWorker({{"f", Make([&](const Instance& x) -> Result<Instance> {
                           const auto call = session->SubmitMethod("", 0, "negate", {x}, {});
                           EXPECT_OK(call);
                           EXPECT_TRUE((*call)->WaitFor(std::chrono::seconds(10)));
                           EXPECT_ERROR((*call)->kept(), kFailedPrecondition, "keeps no outputs");
                           return *(*call)->result()->front();
                         })},
                        {"g", Make([&](const Instance& x) -> Result<Instance> {
                           const auto call = session->SubmitMethod("", 0, "negate", {x}, {});
                           EXPECT_FALSE((*call)->done());
                           EXPECT_FALSE((*call)->WaitFor(std::chrono::milliseconds(1)));
                           EXPECT_TRUE((*call)->Cancel());
                           EXPECT_TRUE((*call)->done());
                           return (*call)->result().status();
                         })}});
  EXPECT_EQ(FloatOf(Call("f", Float(4))), -4);
  host_.runs_submitted = false;
  EXPECT_ERROR(Call("g", Float(4)), kCancelled, "taken back");
}

TEST_F(WorkerSessionTest, ASubmittedMethodWithAFunctionRunsAtOnce) {
  host_.step = pool_.Function("step", "step", "step");
  host_.runs_submitted = false;
  WorkerSession* session = nullptr;
  session = &AddWorker({{"f", Make([&](const Instance& x) -> Result<Instance> {
                           const auto call = session->SubmitMethod("", 0, "step", {x}, {});
                           EXPECT_TRUE((*call)->done());
                           return *(*call)->result()->front();
                         })},
                        {"step", Make([](const Instance& x) { return Float(FloatOf(x) * 2); })}});
  EXPECT_EQ(FloatOf(Call("f", Float(4))), 8);
}

TEST_F(WorkerSessionTest, LargeTensorsArriveWhole) {
  AddWorker({{"f", Make([](const Instance& x) -> Result<Instance> { return x; })}});
  Tensor large(DataType::kInt32, Shape{1 << 20});
  for (int i = 0; i < 1 << 20; ++i) large.mutable_data_as<int32_t>()[i] = i;
  const Result<Instance> result = Call("f", {large, Tensor::Of<uint8_t>({1}, {9}), large});
  ASSERT_OK(result);
  ASSERT_EQ(result->size(), 3);
  EXPECT_EQ(*(*result)[2].ToVector<int32_t>(), *large.ToVector<int32_t>());
}

TEST_F(WorkerSessionTest, ARequestWhoseWorkerIsLostRunsOnAnotherOne) {
  WorkerChannel lost = AddPlayed();
  AddWorker({{"f", Make([](const Instance& x) { return Float(FloatOf(x) + 1); })}});
  std::thread worker([&] {
    EXPECT_OK(lost.Await(Deadline()));
    EXPECT_OK(lost.Receive());
    lost.Shutdown();
    pool_.Remove(number_, "was killed by SIGABRT");
  });
  EXPECT_EQ(FloatOf(Call("f", Float(4))), 5);
  worker.join();
}

TEST_F(WorkerSessionTest, ThreeLossesAreEnough) {
  for (int i = 0; i < 3; ++i) {
    WorkerChannel lost = AddPlayed();
    servers_.emplace_back([this, number = number_, lost = std::move(lost)]() mutable {
      EXPECT_OK(lost.Await(Deadline()));
      EXPECT_OK(lost.Receive());
      lost.Shutdown();
      pool_.Remove(number, "was killed by SIGABRT");
    });
  }
  EXPECT_ERROR(Call("predict", Float(4)), kUnavailable,
               "predict was lost with its worker process, which was killed by SIGABRT, as 2 "
               "before");
}

TEST_F(WorkerSessionTest, ARequestThatIsNotReplayableIsNotRunAgain) {
  RequestArena arena({.replayable = false}, {}, [](Results) {});
  const RequestScope scope(arena);
  WorkerChannel lost = AddPlayed();
  std::atomic<int> ran{0};
  AddWorker({{"f", Make([&](const Instance& x) -> Result<Instance> {
                ++ran;
                return x;
              })}});
  std::thread worker([&] {
    EXPECT_OK(lost.Await(Deadline()));
    lost.Shutdown();
    pool_.Remove(number_, "ended with exit code 3");
  });
  EXPECT_ERROR(Call("f", Float(4)), kUnavailable, "ended with exit code 3");
  EXPECT_EQ(ran, 0);
  worker.join();
}

TEST_F(WorkerSessionTest, AWorkerThatWasGoneBeforeHasNotTriedAnything) {
  RequestArena arena({.replayable = false}, {}, [](Results) {});
  const RequestScope scope(arena);
  { const WorkerChannel closed = AddPlayed(); }
  const uint64_t gone = number_;
  AddWorker({{"f", Make([](const Instance& x) -> Result<Instance> { return x; })}});
  std::thread reaper([&] { pool_.Remove(gone, "ended"); });
  EXPECT_EQ(FloatOf(Call("f", Float(4))), 4);
  reaper.join();
}

TEST_F(WorkerSessionTest, AWorkerThatTalksNonsenseCostsItsRequestAlone) {
  const std::string nonsense(1000, '\xff');
  WorkerMessage call{.kind = WorkerMessageKind::kCall};
  for (int i = 0; i < 2; ++i) {
    WorkerChannel bad = AddPlayed();
    servers_.emplace_back(
        [this, i, number = number_, bad = std::move(bad), &nonsense, &call]() mutable {
          EXPECT_OK(bad.Await(Deadline()));
          EXPECT_OK(bad.Receive());
          if (i == 0) {
            EXPECT_OK(SendAll(bad.socket(), std::as_bytes(std::span(nonsense)), Deadline()));
          } else {
            EXPECT_OK(bad.Send(call));
          }
          // It is cut off.
          EXPECT_ERROR(bad.Await(Deadline()), kUnavailable, "");
          pool_.Remove(number, "was killed by SIGKILL");
        });
  }
  AddWorker({{"f", Make([](const Instance& x) -> Result<Instance> { return x; })}});
  EXPECT_EQ(FloatOf(Call("f", Float(4))), 4);
}

TEST_F(WorkerSessionTest, ForeignNumbersAreErrorsOfTheWorker) {
  WorkerChannel played = AddPlayed();
  std::thread worker([&] {
    EXPECT_OK(played.Await(Deadline()));
    EXPECT_OK(played.Receive());
    for (const auto kind : {WorkerMessageKind::kFetch, WorkerMessageKind::kWait,
                            WorkerMessageKind::kCancel, WorkerMessageKind::kRun}) {
      WorkerMessage question{.kind = kind, .number = 77, .released = {5, 6}};
      question.instances.emplace_back(std::vector<WorkerValue>{
          {.tensor = Tensor(DataType::kFloat32, Shape{1}, Buffer()), .resident = 77}});
      EXPECT_OK(played.Send(question));
      EXPECT_OK(played.Await(Deadline()));
      const auto reply = played.Receive();
      EXPECT_OK(reply);
      EXPECT_FALSE(reply->status.ok());
    }
    WorkerMessage result{.kind = WorkerMessageKind::kResult};
    result.instances.emplace_back(NotFound("done"));
    EXPECT_OK(played.Send(result));
  });
  EXPECT_ERROR(Call("f", Float(4)), kNotFound, "done");
  worker.join();
}

TEST_F(WorkerSessionTest, AWorkerThatGoesOnWithARequestThatWasGivenUpIsCutOff) {
  WorkerChannel played = AddPlayed();
  RequestArena arena({}, {}, [](Results) {});
  std::thread worker([&] {
    EXPECT_OK(played.Await(Deadline()));
    EXPECT_OK(played.Receive());
    EXPECT_TRUE(arena.Claim(DeadlineExceeded("too late")));
    arena.AnswerError(DeadlineExceeded("too late"));
    EXPECT_ERROR(played.Await(Deadline::After(std::chrono::seconds(30))), kUnavailable, "");
    pool_.Remove(number_, "was killed by SIGKILL");
  });
  {
    const RequestScope scope(arena);
    EXPECT_ERROR(Call("f", Float(4)), kDeadlineExceeded, "too late");
  }
  worker.join();
}

TEST_F(WorkerSessionTest, ARequestThatIsGivenUpDoesNotWaitForAWorker) {
  RequestArena arena({}, {}, [](Results) {});
  std::thread timer([&] {
    EXPECT_TRUE(arena.Claim(Cancelled("the client has left")));
    arena.AnswerError(Cancelled("the client has left"));
  });
  {
    const RequestScope scope(arena);
    EXPECT_ERROR(Call("f", Float(4)), kCancelled, "the client has left");
  }
  timer.join();
}

TEST_F(WorkerSessionTest, RequestsWaitForWorkersInTurnAndForNoneOnceThereAreNone) {
  Gate gate;
  std::vector<float> order;
  AddWorker({{"f", Make([&](const Instance& x) -> Result<Instance> {
                gate.Pass();
                order.push_back(FloatOf(x));
                return x;
              })}});
  std::vector<std::future<float>> calls;
  for (int i = 0; i < 3; ++i) {
    calls.push_back(std::async(
        std::launch::async, [&, i] { return FloatOf(Call("f", Float(static_cast<float>(i)))); }));
    if (i == 0) {
      ASSERT_TRUE(gate.WaitForArrivals(1));
    }
  }
  gate.Open();
  for (auto& call : calls) call.get();
  EXPECT_EQ(order.size(), 3);
  EXPECT_EQ(order[0], 0);
  pool_.Close();
  EXPECT_OK(Call("f", Float(9)));  // Those that are there go on.
  pool_.EndWorkers();
  pool_.Remove(1, "ended");
  EXPECT_ERROR(Call("f", Float(9)), kUnavailable, "no worker process left");
  EXPECT_ERROR(pool_.Add(-1, -1), kInvalidArgument, "no stream socket");
}

}  // namespace
}  // namespace pipeserve
