// Log files: order, rotation, bounds.
#include "gateway/runtime/log.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <chrono>
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

TEST_F(LogFileTest, EndsThoughNobodyReadsThePipe) {
  std::filesystem::create_directories(folder_);
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_THROW(LogFile{path("pipe")}, std::system_error);  // without waiting for a reader
  const int reader = ::open(path("pipe").c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  const std::string line(99, 'x');
  const auto begin = std::chrono::steady_clock::now();
  {
    LogFile log(path("pipe"));
    for (int i = 0; i < 10'000; ++i) EXPECT_TRUE(log.submit(line + "\n"));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(10));
  std::string got(200'000, '\0');
  const ssize_t count = ::read(reader, got.data(), got.size());
  EXPECT_GE(count, 4096);  // what the pipe holds
  EXPECT_TRUE(got.starts_with(line + "\n" + line));
  ::close(reader);
}

TEST_F(LogFileTest, WritesEverythingToASlowReader) {
  std::filesystem::create_directories(folder_);
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  const int reader = ::open(path("pipe").c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  std::string expected;
  std::string got;
  LogFile log(path("pipe"));
  for (int i = 0; i < 20'000; ++i) {
    const std::string line = "line " + std::to_string(i) + "\n";
    EXPECT_TRUE(log.submit(line));
    expected += line;
  }
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  for (std::array<char, 3000> part; got.size() < expected.size() && std::chrono::steady_clock::now() < end;) {
    const ssize_t count = ::read(reader, part.data(), part.size());
    if (count > 0) got.append(part.data(), static_cast<std::size_t>(count));
  }
  EXPECT_EQ(got, expected);
  EXPECT_EQ(log.dropped_bytes(), 0u);
  ::close(reader);
}

// As standard output is for the access log and the WAF's events in a container.
TEST_F(LogFileTest, WritesWholeLinesToAPipeThatOthersWriteToAsWell) {
  std::filesystem::create_directories(folder_);
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  const int reader = ::open(path("pipe").c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_GE(reader, 0);
  LogFile one(path("pipe"));
  LogFile other(path("pipe"));
  constexpr std::size_t lines = 400;
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < lines; ++i) {
    const std::size_t length = 1 + i * 7919 % 12'000;  // many are longer than what a pipe takes at once
    EXPECT_TRUE(one.submit(std::string(length, 'a') + "\n"));
    EXPECT_TRUE(other.submit(std::string(length, 'b') + "\n"));
    bytes += 2 * (length + 1);
  }
  std::string got;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (std::array<char, 65536> part; got.size() < bytes && std::chrono::steady_clock::now() < end;) {
    const ssize_t count = ::read(reader, part.data(), part.size());
    if (count > 0) got.append(part.data(), static_cast<std::size_t>(count));
  }
  ASSERT_EQ(got.size(), bytes);
  std::istringstream text(got);
  std::size_t count = 0;
  for (std::string line; std::getline(text, line); ++count)
    ASSERT_EQ(line.find_first_not_of(line.front()), std::string::npos) << "line " << count;
  EXPECT_EQ(count, 2 * lines);
  ::close(reader);
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
