// Log files and the journal; see log.hpp.
#include "gateway/runtime/log.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <system_error>

#include "gateway/runtime/json.hpp"

namespace gatehouse::runtime {

namespace {
std::atomic<LogFile*> journal_file = nullptr;
}

LogFile::LogFile(std::string path, std::size_t max_queued_bytes)
    : path_(std::move(path)), max_queued_bytes_(max_queued_bytes), fd_(open_file()) {
  if (fd_ < 0) throw std::system_error(errno, std::generic_category(), "cannot open " + path_);
  thread_ = std::thread([this] { run(); });
}

LogFile::~LogFile() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  wake_.notify_one();
  thread_.join();
  if (fd_ > STDERR_FILENO) ::close(fd_);
}

int LogFile::open_file() const {
  if (path_ == "-") return STDOUT_FILENO;
  if (path_ == "stderr") return STDERR_FILENO;
  // The folder of the default path may not be there yet.
  if (const std::size_t slash = path_.rfind('/'); slash != std::string::npos && slash > 0)
    ::mkdir(path_.substr(0, slash).c_str(), 0750);
  return ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
}

bool LogFile::submit(std::string_view lines) {
  if (lines.empty()) return true;
  {
    const std::lock_guard lock(mutex_);
    if (queue_.size() + lines.size() > max_queued_bytes_) {
      dropped_bytes_.fetch_add(lines.size(), std::memory_order_relaxed);
      return false;
    }
    const bool was_empty = queue_.empty();
    queue_.append(lines);
    if (!was_empty) return true;  // the writer has been woken
  }
  wake_.notify_one();
  return true;
}

void LogFile::reopen() {
  {
    const std::lock_guard lock(mutex_);
    reopen_ = true;
  }
  wake_.notify_one();
}

void LogFile::write_all(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
    if (n >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(n));
      continue;
    }
    if (errno == EINTR) continue;
    const bool full = errno == EAGAIN;
    if (!full) {
      // A full disk or a closed pipe: count it, wait a little, give the lines up unless it recovers.
      write_errors_.fetch_add(1, std::memory_order_relaxed);
    }
    std::unique_lock lock(mutex_);
    if (!full || stopping_) {
      dropped_bytes_.fetch_add(bytes.size(), std::memory_order_relaxed);
      wake_.wait_for(lock, std::chrono::milliseconds(stopping_ ? 0 : 100), [this] { return stopping_; });
      return;
    }
    wake_.wait_for(lock, std::chrono::milliseconds(10), [this] { return stopping_; });
  }
}

void LogFile::run() {
  std::string batch;
  for (;;) {
    bool reopen_now = false;
    bool stop = false;
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [this] { return stopping_ || reopen_ || !queue_.empty(); });
      batch.clear();
      batch.swap(queue_);
      reopen_now = std::exchange(reopen_, false);
      stop = stopping_;
    }
    if (reopen_now && fd_ > STDERR_FILENO) {
      // What was queued before the signal belongs to the old file.
      write_all(batch);
      batch.clear();
      const int fd = open_file();
      if (fd >= 0) {
        ::close(fd_);
        fd_ = fd;
      } else {
        write_errors_.fetch_add(1, std::memory_order_relaxed);
      }
    }
    write_all(batch);
    if (stop) return;
    if (batch.capacity() > 1024 * 1024) batch = {};
  }
}

void set_journal_file(LogFile* file) noexcept { journal_file.store(file, std::memory_order_release); }

void append_timestamp(std::string& out) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now);
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(now - seconds).count();
  // The date and the second change rarely compared to how often they are asked for.
  thread_local std::int64_t cached_second = -1;
  thread_local char cached[24];
  if (cached_second != seconds.count()) {
    const std::time_t time = seconds.count();
    std::tm parts{};
    ::gmtime_r(&time, &parts);
    std::strftime(cached, sizeof cached, "%Y-%m-%dT%H:%M:%S.", &parts);
    cached_second = seconds.count();
  }
  out.append(cached, 20);
  out += static_cast<char>('0' + milliseconds / 100);
  out += static_cast<char>('0' + milliseconds / 10 % 10);
  out += static_cast<char>('0' + milliseconds % 10);
  out += 'Z';
}

void journal(Level level, std::string_view message,
             std::initializer_list<std::pair<std::string_view, std::string_view>> fields) {
  std::string line;
  JsonObject object(line);
  object.name("@timestamp");
  line += '"';
  append_timestamp(line);
  line += '"';
  object.text("log.level", level == Level::info ? "info" : level == Level::warning ? "warning" : "error");
  object.text("message", message);
  for (const auto& [key, value] : fields) object.text(key, value);
  object.close();
  line += '\n';
  if (LogFile* const file = journal_file.load(std::memory_order_acquire)) {
    file->submit(line);
    return;
  }
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line.data(), line.size());
}

}  // namespace gatehouse::runtime
