// Log files: order, rotation, bounds.
#include "gateway/runtime/log.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

namespace gatehouse::runtime {
namespace {

class LogFileTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("gatehouse-log-" + std::to_string(::getpid()) + "-" +
                                                        testing::UnitTest::GetInstance()->current_test_info()->name());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const char* name) const { return folder_ / name; }
  static std::string content(const std::string& path) {
    std::ifstream file(path);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  std::filesystem::path folder_;
};

TEST_F(LogFileTest, WritesEverythingInOrderBeforeItIsDestroyed) {
  std::string expected;
  {
    LogFile log(path("a.log"));
    for (int i = 0; i < 1000; ++i) {
      const std::string line = "line " + std::to_string(i) + "\n";
      EXPECT_TRUE(log.submit(line));
      expected += line;
    }
  }
  EXPECT_EQ(content(path("a.log")), expected);
}

TEST_F(LogFileTest, MakesItsFolderAndIsNotReadableByOthers) {
  {
    LogFile log(path("a.log"));
  }
  EXPECT_EQ(std::filesystem::status(path("a.log")).permissions() & std::filesystem::perms::others_all,
            std::filesystem::perms::none);
}

TEST_F(LogFileTest, GoesOnInANewFileAfterRotation) {
  {
    LogFile log(path("a.log"));
    log.submit("before\n");
    while (content(path("a.log")).empty()) std::this_thread::yield();
    std::filesystem::rename(path("a.log"), path("a.log.1"));
    log.reopen();
    while (!std::filesystem::exists(path("a.log"))) std::this_thread::yield();
    log.submit("after\n");
  }
  EXPECT_EQ(content(path("a.log.1")), "before\n");
  EXPECT_EQ(content(path("a.log")), "after\n");
}

TEST_F(LogFileTest, DropsAndCountsWhatIsBeyondItsBound) {
  LogFile log(path("a.log"), 100);
  EXPECT_FALSE(log.submit(std::string(101, 'x')));
  EXPECT_EQ(log.dropped_bytes(), 101U);
}

TEST_F(LogFileTest, RefusesAPathThatCannotBeOpened) { EXPECT_THROW(LogFile("/proc/nowhere/a.log"), std::system_error); }

TEST(Timestamp, IsRfc3339InUtcWithMilliseconds) {
  std::string text;
  append_timestamp(text);
  EXPECT_TRUE(std::regex_match(text, std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)"))) << text;
}

}  // namespace
}  // namespace gatehouse::runtime
