#include "base/text_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "support/matchers.h"
#include "support/test_folder.h"

namespace pipeserve {
namespace {

TEST(TextFileTest, EveryByteIsRead) {
  const TestFolder dir;
  std::string content("a\r\n\0\xff\n", 6);
  content += std::string(100'000, 'b');
  std::ofstream(dir.File("text"), std::ios::binary) << content;
  const Result<std::string> text = ReadTextFile(dir.File("text"));
  ASSERT_OK(text);
  EXPECT_EQ(*text, content);
}

TEST(TextFileTest, AnEmptyFileIsEmptyText) {
  const TestFolder dir;
  std::ofstream(dir.File("empty")).flush();
  const Result<std::string> text = ReadTextFile(dir.File("empty"));
  ASSERT_OK(text);
  EXPECT_EQ(*text, "");
}

TEST(TextFileTest, WhatIsNoReadableFileIsNamed) {
  const TestFolder dir;
  EXPECT_ERROR(ReadTextFile(dir.File("none")), kInvalidArgument,
               "cannot read file " + dir.File("none") + ": No such file");
  std::filesystem::create_directory(dir.File("folder"));
  EXPECT_ERROR(ReadTextFile(dir.File("folder")), kInvalidArgument,
               "cannot read file " + dir.File("folder") + ": Is a directory");
}

}  // namespace
}  // namespace pipeserve
