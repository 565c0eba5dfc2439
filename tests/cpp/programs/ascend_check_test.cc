// pipeserve-ascend-check on simulated devices: what it finds when all is well, and when it is not.
#include <gmock/gmock.h>
#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "support/test_folder.h"

namespace pipeserve {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;
using testing::IsEmpty;

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

// The program, with files for what it and the simulator say.
class AscendCheck : public testing::Test {
 protected:
  // `settings` and `commands` are the simulator's. The exit code.
  int Run(const std::string& flags, const std::string& settings = "",
          const std::string& commands = "") {
    std::ostringstream command;
    // AddressSanitizer keeps freed memory, by default 256 MB of it, which looks like a leak to the
    // check of the process's memory.
    command << "ASAN_OPTIONS=$ASAN_OPTIONS:quarantine_size_mb=4 PIPESERVE_ASCEND_SIM='" << settings
            << "' PIPESERVE_ASCEND_SIM_COMMANDS='" << commands << "' PIPESERVE_ASCEND_SIM_REPORT='"
            << folder_.File("broken") << "' " << environment_
            << " timeout 100 " PIPESERVE_ASCEND_CHECK " --quick --library-dir " << library_ << ' '
            << flags << " > " << folder_.File("out") << " 2> " << folder_.File("err");
    const int status = std::system(command.str().c_str());
    document_ = Json::parse(ReadAll(folder_.File("out")), nullptr, false);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  // One check that passes and breaks no rule of the interface.
  const Json& Pass(const std::string& check, const std::string& flags = "",
                   const std::string& settings = "") {
    EXPECT_EQ(Run("--only " + check + " " + flags, settings), 0) << Errors();
    EXPECT_EQ(document_["ok"], true) << document_.dump(2);
    EXPECT_THAT(Broken(), IsEmpty());
    return document_[check];
  }

  // One check that finds something wrong: what.
  std::string Fail(const std::string& check, const std::string& commands,
                   const std::string& settings = "", const std::string& flags = "") {
    EXPECT_EQ(Run("--only " + check + " " + flags, settings, commands), 1) << Errors();
    EXPECT_EQ(document_["ok"], false) << document_.dump(2);
    EXPECT_EQ(document_[check]["ok"], false) << document_.dump(2);
    return document_[check].value("error", "");
  }

  const Json& document() const { return document_; }
  std::string Errors() const { return ReadAll(folder_.File("err")); }
  std::string Broken() const { return ReadAll(folder_.File("broken")); }
  const TestFolder& folder() const { return folder_; }

  std::string library_ = PIPESERVE_SIM_DIRECTORY "/lib64";
  std::string environment_;

 private:
  TestFolder folder_;
  Json document_;
};

TEST_F(AscendCheck, ChecksLibrariesDeviceAndOperatorsByDefault) {
  ASSERT_EQ(Run(""), 0) << Errors();
  std::vector<std::string> parts;
  for (const auto& [name, part] : document().items()) parts.push_back(name);
  EXPECT_THAT(parts,
              testing::UnorderedElementsAre("program", "libraries", "device", "operators", "ok"));
  EXPECT_EQ(document()["device"]["soc"], "Ascend910B1");
  EXPECT_EQ(document()["libraries"]["functions"]["aclnnNeg"], library_ + "/libopapi.so");
  EXPECT_THAT(Broken(), IsEmpty());
}

TEST_F(AscendCheck, SaysHowFarItIsOnStderrAlone) {
  ASSERT_EQ(Run("--only copies"), 0);
  EXPECT_FALSE(document().is_discarded());
  EXPECT_THAT(Errors(), HasSubstr("copies: 4096 bytes"));
}

TEST_F(AscendCheck, HelpHasEveryCheckAndAnExample) {
  ASSERT_EQ(Run("--help"), 0);
  const std::string help = ReadAll(folder().File("out"));
  for (const char* word : {"libraries", "waits", "collectives", "example:", "--om FILE"}) {
    EXPECT_THAT(help, HasSubstr(word));
  }
}

TEST_F(AscendCheck, RefusesWhatItDoesNotKnow) {
  EXPECT_EQ(Run("--only copies,waiting"), 2);
  EXPECT_THAT(Errors(), HasSubstr("there is no check waiting"));
  EXPECT_EQ(Run("--ranks 1"), 2);
  EXPECT_THAT(Errors(), HasSubstr("--ranks is 1, wanted is a whole number from 2 to"));
  EXPECT_EQ(Run("--only model"), 2);
  EXPECT_THAT(Errors(), HasSubstr("model needs --om FILE"));
  EXPECT_EQ(Run("--every"), 2);
  EXPECT_THAT(Errors(), HasSubstr("cannot take --every"));
}

TEST_F(AscendCheck, TellsAllThatTheLoaderSaidWithoutLibraries) {
  library_ = folder().path().string();
  ASSERT_EQ(Run("--all"), 1);
  const std::string error = document()["libraries"]["error"];
  EXPECT_THAT(error, HasSubstr("libascendcl.so"));
  EXPECT_THAT(error, HasSubstr("libacl_rt.so"));
  EXPECT_FALSE(document().contains("device"));  // It could only say the same.
}

// All checks on products and releases that differ in what they have.
struct Machine {
  const char* name;
  const char* library;
  const char* settings;

  friend void PrintTo(const Machine& machine, std::ostream* out) { *out << machine.name; }
};

class AscendCheckOnMachine : public AscendCheck, public testing::WithParamInterface<Machine> {};

TEST_P(AscendCheckOnMachine, PassesAllAndBreaksNoRule) {
  library_ = std::string(PIPESERVE_SIM_DIRECTORY "/") + GetParam().library;
  // With random delays, so that a wait of a millisecond is too short.
  ASSERT_EQ(Run("--all", std::string("mode=random,") + GetParam().settings), 0)
      << Errors() << document().dump(2);
  EXPECT_THAT(Broken(), IsEmpty());
  for (const char* part : {"libraries", "device", "operators", "copies", "waits", "workspaces",
                           "repeatable", "views", "collectives", "overlap", "launch", "memory"}) {
    EXPECT_EQ(document()[part]["ok"], true) << part;
  }
  EXPECT_EQ(document()["model"]["skipped"], "needs --om FILE");
}

INSTANTIATE_TEST_SUITE_P(, AscendCheckOnMachine,
                         testing::Values(Machine{"A910B", "lib64", "soc=Ascend910B1"},
                                         Machine{"A910", "lib64", "soc=Ascend910ProB"},
                                         Machine{"A310P", "lib64", "soc=Ascend310P3"},
                                         Machine{"Acl16", "lib64_1.6", "soc=Ascend910B1"},
                                         Machine{"Split", "lib64_split", "soc=Ascend910B1"}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_F(AscendCheck, TellsWhichPrecisionsAProductHasNot) {
  const Json& operators = Pass("operators", "", "soc=Ascend310P3");
  EXPECT_THAT(operators["MatMul strict"]["unsupported"], HasSubstr("precision must be fp16"));
  EXPECT_THAT(operators["Add"]["unsupported"], HasSubstr("has no Add"));
  EXPECT_EQ(operators["MatMul fp16"]["ok"], true);
  EXPECT_EQ(operators["Neg"]["special"]["zeros_of_other_sign"], 0);
}

TEST_F(AscendCheck, FindsAWrongResultOfAnOperator) {
  // The first run of a graph is when it is loaded.
  EXPECT_THAT(Fail("operators", "corrupt-task aclnnNeg 2"), HasSubstr("differs from the CPU"));
  EXPECT_EQ(document()["operators"]["Neg"]["random"]["wrong"], 1);
  EXPECT_EQ(document()["operators"]["MatMul strict"]["ok"], true);
}

TEST_F(AscendCheck, FindsAnOperatorThatFails) {
  EXPECT_THAT(Fail("operators", "fail aclnnMatmul 1"), HasSubstr("aclnnMatmul failed with"));
}

TEST_F(AscendCheck, FindsAByteThatACopyChanged) {
  EXPECT_THAT(Fail("copies", "corrupt-task aclrtMemcpyAsync 3"),
              HasSubstr("pinned memory: of 31 bytes number 30 came back changed"));
  EXPECT_EQ(document()["copies"]["sizes"].size(), 2);
}

TEST_F(AscendCheck, FindsACopyThatFails) {
  EXPECT_THAT(Fail("copies", "fail aclrtMemcpyAsync 1"), HasSubstr("aclrtMemcpyAsync failed"));
  EXPECT_THAT(Fail("copies", "fail aclrtMemcpy 1"), HasSubstr("pageable memory: aclrtMemcpy"));
}

TEST_F(AscendCheck, TellsTheCodeOfATimeOut) {
  const Json& waits = Pass("waits", "", "mode=random");
  EXPECT_EQ(waits["code"], 507046);
  EXPECT_EQ(waits["stream_usable_afterwards"], true);
}

TEST_F(AscendCheck, FindsAWaitThatEndsWithAnotherCode) {
  // The first wait is for the workspace to grow.
  EXPECT_THAT(Fail("waits", "fail aclrtSynchronizeStreamWithTimeout 2 507000", "mode=random"),
              HasSubstr("ended with 507000, which is no code of a time-out"));
}

TEST_F(AscendCheck, TellsWhetherWorkspacesAreConstant) {
  EXPECT_EQ(Pass("workspaces")["operators"]["aclnnMatmul"]["constant"], true);
  EXPECT_EQ(Pass("workspaces", "", "workspace=random")["operators"]["aclnnMatmul"]["constant"],
            false);
}

TEST_F(AscendCheck, TellsWhichOperatorsCanBeRepeated) {
  EXPECT_EQ(Pass("repeatable")["operators"]["aclnnNeg"]["repeatable"], true);
  const Json& refused = Pass("repeatable", "", "repeatable=0")["operators"]["aclnnNeg"];
  EXPECT_EQ(refused["repeatable"], false);
  EXPECT_EQ(refused["code"], 361001);
}

TEST_F(AscendCheck, FindsARepeatedPlanWithAnotherResult) {
  // The first run of each is what the repeated ones are held against.
  EXPECT_THAT(Fail("repeatable", "corrupt-task aclnnMatmul 3"),
              HasSubstr("launch 2 of a repeated plan gives another result"));
}

TEST_F(AscendCheck, FindsAWrongResultOfAView) {
  const Json& views = Pass("views");
  for (const char* part : {"strided_neg", "transposed_matmul", "slice", "concat"}) {
    EXPECT_GE(views[part]["view_ms"], 0) << part;
  }
  // Four runs of the whole tensor come first.
  EXPECT_THAT(Fail("views", "corrupt-task aclnnNeg 8"), HasSubstr("strided_neg: "));
  EXPECT_THAT(document()["views"]["strided_neg"]["error"], HasSubstr("view_ms: element"));
}

TEST_F(AscendCheck, BringsRanksTogetherAgainAfterOneWasKilled) {
  const Json& found = Pass("collectives", "--ranks 4");
  EXPECT_EQ(found["creation_ms"].size(), 4);
  EXPECT_EQ(found["order_of_sums"], "first rank to last");
  EXPECT_EQ(found["same_bits_on_all_ranks"], true);
  EXPECT_EQ(found["rank_killed"]["codes"], Json({107020, 107020, 107020}));
  EXPECT_EQ(found["created_again"]["creation_ms"].size(), 4);
}

TEST_F(AscendCheck, TellsTheOrderOfSums) {
  EXPECT_EQ(Pass("collectives", "--ranks 4", "reverse_sums=1")["order_of_sums"],
            "last rank to first");
}

TEST_F(AscendCheck, LeavesCollectivesOutWhereThereIsOneDevice) {
  ASSERT_EQ(Run("--all --calls 10", "mode=random,devices=1"), 0) << Errors();
  EXPECT_EQ(document()["collectives"], Json({{"skipped", "needs a second device"}}));
  EXPECT_THAT(Fail("collectives", "", "devices=1"), HasSubstr("there is no device 1"));
}

TEST_F(AscendCheck, FindsAWrongSum) {
  EXPECT_THAT(Fail("collectives", "corrupt-task HcclAllReduce 1"),
              HasSubstr("AllReduce of 1 numbers: number 0 is"));
}

TEST_F(AscendCheck, FindsARankThatEnds) {
  EXPECT_THAT(Fail("collectives", "", "die_at=3"), HasSubstr("exited with code 1"));
}

TEST_F(AscendCheck, FindsWhatOneOfSeveralStreamsComputesWrong) {
  EXPECT_EQ(Pass("overlap")["sizes"].size(), 2);
  EXPECT_THAT(Fail("overlap", "corrupt-task aclnnNeg 7"), HasSubstr("wanted was -"));
}

TEST_F(AscendCheck, TimesLaunchesOnStreamsWithAndWithoutFlags) {
  const Json& neg = Pass("launch")["operators"]["aclnnNeg"];
  EXPECT_GT(neg["fast"]["launch_us"], 0);
  EXPECT_GT(neg["plain"]["launch_and_wait_us"], 0);
}

TEST_F(AscendCheck, MeasuresMemoryAroundSoManyCalls) {
  const Json& memory = Pass("memory", "--calls 30");
  EXPECT_EQ(memory["calls"], 30);
  EXPECT_EQ(memory["device_bytes"]["growth"], 0);
}

TEST_F(AscendCheck, RunsAModelThatWasCompiled) {
  const auto file = folder().Write("small.om",
                                   "pipeserve-sim-model\ninput x float32 2,3\noutput z float32 "
                                   "2,3\nneg x z\n");
  const Json& model = Pass("model", "--om " + file.string());
  EXPECT_EQ(model["first_numbers_of_ones"], Json({{-1, -1, -1, -1, -1, -1}}));
  EXPECT_THAT(model["inputs"][0], HasSubstr("float32"));
}

TEST_F(AscendCheck, FindsAModelThatIsNone) {
  const auto file = folder().Write("other.om", "something else");
  EXPECT_THAT(Fail("model", "", "", "--om " + file.string()), HasSubstr("other.om"));
}

TEST_F(AscendCheck, KillsACheckThatSaysNothing) {
  EXPECT_THAT(Fail("copies", "hang-task 1", "", "--patience 1"),
              HasSubstr("killed after 1 s without a word"));
}

}  // namespace
}  // namespace pipeserve
