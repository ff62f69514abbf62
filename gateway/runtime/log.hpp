// Log files with one writer thread each, so that no worker ever waits for a disk, and the process's own journal.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

namespace gatehouse::runtime {

/// An append-only file, a pipe, or standard output or error, written by a thread of its own. Lines that are handed over are
/// written in that order within a second. When the disk is slower than the traffic, or full, at most `max_queued_bytes`
/// wait; what comes then is dropped and counted. The file always holds whole lines.
class LogFile {
 public:
  /// `path`: "-" is standard output, "stderr" standard error; else opened for appending with mode 0640. Throws
  /// std::system_error when it cannot be opened.
  explicit LogFile(std::string path, std::size_t max_queued_bytes = 64 * 1024 * 1024);
  ~LogFile();  // writes what is queued; waits for the reader of a pipe for at most a second
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  /// Hands over whole lines. From any thread; never blocks on the file. False: dropped.
  bool submit(std::string_view lines);
  /// Opens the path anew before the next write (SIGUSR1, after rotation).
  void reopen();

  [[nodiscard]] std::uint64_t dropped_bytes() const noexcept { return dropped_bytes_.load(std::memory_order_relaxed); }
  /// What waits, at most `max_queued_bytes`.
  [[nodiscard]] std::uint64_t queued_bytes() const noexcept { return queued_bytes_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t write_errors() const noexcept { return write_errors_.load(std::memory_order_relaxed); }
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  void run();
  void write_all(std::string_view bytes);
  void cut_torn_line(std::size_t bytes) const noexcept;
  void note_trouble(int error);
  void note_recovery();
  void open_anew();
  [[nodiscard]] int open_file() const;

  std::string path_;
  std::size_t max_queued_bytes_;
  int fd_ = -1;
  bool is_file_ = false;  // neither a pipe nor a terminal
  std::shared_ptr<std::mutex> turn_;  // of whoever writes to the same
  std::mutex mutex_;
  std::condition_variable wake_;
  std::string queue_;
  bool reopen_ = false;
  bool stopping_ = false;
  std::chrono::steady_clock::time_point give_up_at_;  // when stopping, on what a pipe does not take
  bool in_trouble_ = false;  // the writer's own
  bool reopen_later_ = false;  // the writer's own: the path could not be opened anew
  std::atomic<std::uint64_t> dropped_bytes_ = 0;
  std::atomic<std::uint64_t> write_errors_ = 0;
  std::atomic<std::uint64_t> queued_bytes_ = 0;  // in the queue and in the writer's hands
  std::thread thread_;
};

enum class Level { info, warning, error };

/// One JSON line on standard error: {"@timestamp":...,"log.level":...,"message":...,fields...}. From any thread.
/// Values are escaped; never pass a secret.
void journal(Level level, std::string_view message,
             std::initializer_list<std::pair<std::string_view, std::string_view>> fields = {});

/// Routes the journal through a LogFile, so that it cannot block; null: written at once.
void set_journal_file(LogFile* file) noexcept;

/// RFC 3339 in UTC with milliseconds: "2026-11-24T10:00:00.123Z".
void append_timestamp(std::string& out);

}  // namespace gatehouse::runtime
