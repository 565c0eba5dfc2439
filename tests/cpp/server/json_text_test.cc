#include "server/json_text.h"

#include <gtest/gtest.h>

namespace pipeserve {
namespace {

std::string Message(std::string_view text) {
  std::string out = "x: ";
  AppendJsonMessage(text, &out);
  return out;
}

TEST(JsonTextTest, EscapesWhatJsonCannotHold) {
  std::string out;
  AppendJsonString("a \"b\" \\ \n\x01 \xc3\xa9", &out);
  EXPECT_EQ(out, "\"a \\\"b\\\" \\\\ \\u000a\\u0001 \xc3\xa9\"");
}

TEST(JsonTextTest, AMessageNeedNotBeUtf8) {
  EXPECT_EQ(Message("\xc3\xa9"), "x: \"\xc3\xa9\"");
  EXPECT_EQ(Message("a\xff\xc3\xa9\"b"), "x: \"a???\\\"b\"");
}

}  // namespace
}  // namespace pipeserve
