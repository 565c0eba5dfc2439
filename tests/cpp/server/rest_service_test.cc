#include "server/rest_service.h"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <array>
#include <string>

#include "support/matchers.h"
#include "support/mutator.h"

namespace pipeserve {
namespace {

constexpr std::string_view kUrls[] = {"/model/add:predict", "/model/add/version/3:predict",
                                      "/version/7/model/add:fun_1?x=1"};

constexpr std::string_view kBodies[] = {
    R"({"instances": {"x": 1}})",
    R"({"instances": [{"x": [1, -2, 3], "y": "text"}, {"x": [4], "y": true}]})",
    R"({"instances": [{"x": [[1.5, 2e3], [3.0, -0.1]], "y": [["a"]]}]})",
    R"({"instances": {"x": {"b64": "AAECAw==", "type": "int16", "shape": [1, 2]}}})",
    R"({"instances": {"x": {"b64": "", "type": "fp32", "shape": [2, 0]}, "t": [{"b64": "AA=="}]}})"};

constexpr std::string_view kTokens[] = {"[",
                                        "]",
                                        "{",
                                        "}",
                                        ",",
                                        ":",
                                        "\"",
                                        "[[",
                                        "]]",
                                        "{}",
                                        "[]",
                                        "null",
                                        "true",
                                        "-",
                                        "1e999",
                                        "0.5",
                                        "2147483648",
                                        "-9223372036854775808",
                                        "18446744073709551616",
                                        "\"b64\"",
                                        "\"type\"",
                                        "\"shape\"",
                                        "\"str\"",
                                        "\"int64\"",
                                        "{\"b64\": \"AA==\"}",
                                        "\"instances\"",
                                        "\\u0000",
                                        "\\ud800",
                                        "\xff",
                                        "\xc3\xa9",
                                        "/",
                                        "//",
                                        "?",
                                        "#",
                                        "model",
                                        "version",
                                        "%00",
                                        "4294967295",
                                        "-1"};

// What every request that is let in has.
void ExpectSound(const ClientRequest& request) {
  EXPECT_NE(request.servable, "");
  EXPECT_NE(request.method, "");
  EXPECT_GE(request.instances.size(), 1u);
  for (const NamedInstance& instance : request.instances) {
    for (const auto& [name, tensor] : instance) {
      EXPECT_NE(name, "");
      const int64_t elements = tensor.shape().num_elements();
      ASSERT_GE(elements, 0);
      if (IsText(tensor.dtype())) {
        EXPECT_EQ(tensor.Strings().size(), 1u);
      } else {
        EXPECT_EQ(tensor.byte_size(), elements * DataTypeSize(tensor.dtype()));
      }
    }
  }
}

void ExpectRefused(const Status& error) {
  EXPECT_EQ(error.code(), StatusCode::kInvalidArgument) << error;
  EXPECT_NE(error.message(), "");
  const HttpAnswer answer = AnswerError(error);
  EXPECT_EQ(answer.http_status, 400);
  simdjson::dom::parser parser;
  std::string_view text;
  EXPECT_EQ(parser.parse(answer.body)["error_msg"].get(text), simdjson::SUCCESS) << answer.body;
}

TEST(RestServiceTest, DamagedRequestsAreReadOrRefusedWithAText) {
  Mutator mutator(kTokens);
  int read = 0;
  int refused = 0;
  for (int i = 0; i < DamagedInputs(40'000) && !HasFailure(); ++i) {
    const std::string url = mutator.Mutate(std::string(kUrls[mutator.Pick(std::size(kUrls))]));
    const std::string body = mutator.Mutate(std::string(kBodies[mutator.Pick(std::size(kBodies))]));
    SCOPED_TRACE(url + " " + body);
    const Result<ClientRequest> request = ReadRestRequest(url, body);
    if (request.ok()) {
      ++read;
      ExpectSound(*request);
    } else {
      ++refused;
      ExpectRefused(request.status());
    }
  }
  EXPECT_GT(read, 1000);
  EXPECT_GT(refused, 1000);
}

TEST(RestServiceTest, DepthAndRepetitionAreBounded) {
  const auto ask = [](const std::string& value) {
    return ReadRestRequest("/model/add:predict", "{\"instances\": {\"x\": " + value + "}}");
  };
  const std::string open(100'000, '['), close(100'000, ']');
  EXPECT_ERROR(ask(open + "1" + close), kInvalidArgument, "JSON");
  EXPECT_ERROR(ask(open), kInvalidArgument, "JSON");
  EXPECT_ERROR(ask(open.substr(0, 9) + "1" + close.substr(0, 9)), kInvalidArgument,
               "more than 8 dimensions");
  EXPECT_ERROR(ask(R"({"b64": "", "type": "int8", "shape": [4611686018427387904, 4]})"),
               kInvalidArgument, "is too large");
}

}  // namespace
}  // namespace pipeserve
