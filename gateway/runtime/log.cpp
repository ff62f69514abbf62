// Log files and the journal; see log.hpp.
#include "gateway/runtime/log.hpp"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <ctime>
#include <map>
#include <system_error>

#include "gateway/runtime/json.hpp"
#include "gateway/runtime/memory.hpp"
#include "gateway/runtime/spare_descriptors.hpp"

namespace gatehouse::runtime {

namespace {

std::atomic<LogFile*> journal_file = nullptr;

constexpr auto pipe_pause = std::chrono::milliseconds(10);
constexpr auto trouble_pause = std::chrono::milliseconds(100);
constexpr auto last_wait = std::chrono::seconds(1);  // for the reader of a pipe, when the process ends
constexpr int journal_wait = 100;                    // ms, for the reader of standard error

bool is_regular(int fd) noexcept {
  struct stat status{};
  return ::fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
}

// A pipe whose reader is stuck would hold a thread for ever, and one that others write to as well cannot be made
// non-blocking for us alone: asked before each write, which is then of what a pipe takes at once and as a whole (pipe(7)):
// of whole lines, if it can be.
ssize_t write_if_ready(int fd, std::string_view bytes, int wait_ms) {
  if (bytes.size() > PIPE_BUF) {
    bytes = bytes.substr(0, PIPE_BUF);
    if (const std::size_t end = bytes.rfind('\n'); end != std::string_view::npos) bytes = bytes.substr(0, end + 1);
  }
  pollfd ready{.fd = fd, .events = POLLOUT, .revents = 0};
  if (::poll(&ready, 1, wait_ms) == 0) {
    errno = EAGAIN;
    return -1;
  }
  return ::write(fd, bytes.data(), bytes.size());
}

// Standard output and error and a named pipe may be one pipe. Who is in the middle of a line that is too long for one
// write has it for himself.
std::shared_ptr<std::mutex> turn_at(int fd) {
  static std::mutex guard;
  static std::map<std::pair<dev_t, ino_t>, std::weak_ptr<std::mutex>> turns;
  struct stat status{};
  if (::fstat(fd, &status) != 0) return std::make_shared<std::mutex>();
  const std::lock_guard lock(guard);
  std::erase_if(turns, [](const auto& entry) { return entry.second.expired(); });
  std::weak_ptr<std::mutex>& known = turns[{status.st_dev, status.st_ino}];
  std::shared_ptr<std::mutex> turn = known.lock();
  if (!turn) known = turn = std::make_shared<std::mutex>();
  return turn;
}

}  // namespace

LogFile::LogFile(std::string path, std::size_t max_queued_bytes)
    : path_(std::move(path)), max_queued_bytes_(max_queued_bytes), fd_(open_file()) {
  if (const int error = errno; fd_ < 0) {
    throw std::system_error(error, std::generic_category(),
                            (error == ENXIO ? "nobody reads the named pipe " : "cannot open ") + path_);
  }
  is_file_ = is_regular(fd_);
  turn_ = turn_at(fd_);
  thread_ = std::thread([this] { run(); });
}

LogFile::~LogFile() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    give_up_at_ = std::chrono::steady_clock::now() + last_wait;
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
  // Without O_NONBLOCK, a named pipe that nobody reads would not even be opened.
  return ::open(path_.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
}

bool LogFile::submit(std::string_view lines) {
  if (lines.empty()) return true;
  {
    const std::lock_guard lock(mutex_);
    if (queued_bytes() + lines.size() > max_queued_bytes_) {
      dropped_bytes_.fetch_add(lines.size(), std::memory_order_relaxed);
      return false;
    }
    const bool was_empty = queue_.empty();
    queue_.append(lines);
    queued_bytes_.fetch_add(lines.size(), std::memory_order_relaxed);
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

// Takes the beginning of a line whose rest cannot be written away again, so that what follows is not joined to it.
void LogFile::cut_torn_line(std::size_t bytes) const noexcept {
  struct stat status{};
  if (bytes == 0 || !is_file_ || ::fstat(fd_, &status) != 0) return;
  [[maybe_unused]] const int done = ::ftruncate(fd_, status.st_size - static_cast<off_t>(bytes));
}

void LogFile::note_trouble(int error) {
  write_errors_.fetch_add(1, std::memory_order_relaxed);
  if (std::exchange(in_trouble_, true) || journal_file.load(std::memory_order_acquire) == this) return;
  journal(Level::error, "a log cannot be written: its lines wait in memory, and are dropped when that is full",
          {{"log.file.path", path_}, {"error.message", std::generic_category().message(error)}});
}

void LogFile::note_recovery() {
  if (!std::exchange(in_trouble_, false) || journal_file.load(std::memory_order_acquire) == this) return;
  journal(Level::info, "the log is written again", {{"log.file.path", path_}});
}

// Waits for room as long as it takes, unless the process stops: what comes meanwhile is queued, and dropped when the
// queue is full.
void LogFile::write_all(std::string_view bytes) {
  std::size_t torn = 0;  // bytes of the present line that are in the file
  std::unique_lock<std::mutex> turn;
  while (!bytes.empty()) {
    ssize_t n = -1;
    errno = EAGAIN;
    if (is_file_) {
      n = ::write(fd_, bytes.data(), bytes.size());
    } else {
      if (!turn.owns_lock()) turn = std::unique_lock(*turn_, std::try_to_lock);
      if (turn.owns_lock()) n = write_if_ready(fd_, bytes, 0);
    }
    const int error = errno;
    if (n >= 0) {
      const std::string_view written = bytes.substr(0, static_cast<std::size_t>(n));
      const std::size_t end = written.rfind('\n');
      torn = end == std::string_view::npos ? torn + written.size() : written.size() - end - 1;
      bytes.remove_prefix(written.size());
      queued_bytes_.fetch_sub(written.size(), std::memory_order_relaxed);
      if (torn == 0 && turn.owns_lock()) turn.unlock();
      if (n > 0) note_recovery();
      continue;
    }
    if (torn == 0 && turn.owns_lock()) turn.unlock();
    if (error == EINTR) continue;
    const bool full_pipe = error == EAGAIN;
    if (!full_pipe) note_trouble(error);
    std::unique_lock lock(mutex_);
    if (stopping_ && (!full_pipe || std::chrono::steady_clock::now() >= give_up_at_)) {
      cut_torn_line(torn);
      dropped_bytes_.fetch_add(torn + bytes.size(), std::memory_order_relaxed);
      return;
    }
    if (full_pipe)
      wake_.wait_for(lock, pipe_pause, [this] { return reopen_; });
    else
      wake_.wait_for(lock, trouble_pause, [this] { return stopping_ || reopen_; });
    if (std::exchange(reopen_, false)) {
      // Rotated away: the new file gets the whole line.
      lock.unlock();
      cut_torn_line(torn);
      bytes = {bytes.data() - torn, bytes.size() + torn};
      queued_bytes_.fetch_add(torn, std::memory_order_relaxed);
      torn = 0;
      turn = {};
      open_anew();
    }
  }
}

void LogFile::open_anew() {
  if (fd_ <= STDERR_FILENO) return;
  int fd = open_file();
  if (fd < 0 && gave_spare_descriptor(errno)) fd = open_file();
  if (fd < 0) {
    if (!std::exchange(reopen_later_, true) && journal_file.load(std::memory_order_acquire) != this)
      journal(Level::error, "a log cannot be opened anew: it goes on in the old file, and this is tried again",
              {{"log.file.path", path_}, {"error.message", std::generic_category().message(errno)}});
    return;
  }
  reopen_later_ = false;
  ::close(fd_);
  fd_ = fd;
  is_file_ = is_regular(fd_);
  turn_ = turn_at(fd_);
}

void LogFile::run() {
  std::string batch;
  for (;;) {
    bool reopen_now = false;
    bool stop = false;
    {
      std::unique_lock lock(mutex_);
      const auto has_work = [this] { return stopping_ || reopen_ || !queue_.empty(); };
      if (reopen_later_)
        wake_.wait_for(lock, trouble_pause, has_work);
      else
        wake_.wait(lock, has_work);
      batch.clear();
      batch.swap(queue_);
      reopen_now = std::exchange(reopen_, false) || reopen_later_;
      stop = stopping_;
    }
    write_all(batch);  // what was queued before a rotation belongs to the old file
    if (reopen_now) open_anew();
    if (stop) return;
    if (batch.capacity() > 1024 * 1024) free_memory(batch);
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
  // Before there are threads, or at the very end. What a stuck reader does not take is lost.
  for (std::string_view rest = line; !rest.empty();) {
    const ssize_t written = write_if_ready(STDERR_FILENO, rest, journal_wait);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return;
    rest.remove_prefix(static_cast<std::size_t>(written));
  }
}

}  // namespace gatehouse::runtime
