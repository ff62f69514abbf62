// Certificates in a folder; see file_storage.hpp.
//
//   .lock            held while anything is changed
//   .state           epoch, last version, last fence
//   .lease           locked by the process that holds the lease
//   members/ID       locked by each process; holds the version that it has seen
//   items/NAME       "gatehouse-item 1 VERSION" on the first line, then the value
#include "gateway/server/file_storage.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace gatehouse::server {

using acme::Done;
using acme::StorageError;
using acme::StorageResult;
using acme::SyncAnswer;

namespace {

constexpr std::size_t page = 64;  // items an answer
constexpr std::size_t most_item_bytes = 1024 * 1024;
constexpr auto longest_trust = std::chrono::seconds(5);  // in the folder's time
constexpr auto coarsest_file_time = std::chrono::milliseconds(50);

std::unexpected<StorageError> away(const std::string& path) {
  return std::unexpected(StorageError{StorageError::Kind::away, path + ": " + std::strerror(errno)});
}

/// A descriptor that is closed.
class File {
 public:
  explicit File(int fd) noexcept : fd_(fd) {}
  ~File() {
    if (fd_ >= 0) ::close(fd_);
  }
  File(File&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  File& operator=(File&&) = delete;
  [[nodiscard]] int fd() const noexcept { return fd_; }
  [[nodiscard]] bool is_open() const noexcept { return fd_ >= 0; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

File open_private(const std::string& path, int flags) {
  return File(::open(path.c_str(), flags | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR));
}

/// std::nullopt with errno where it cannot be read; errno is EFBIG where it is too large.
std::optional<std::string> read_all(const std::string& path, struct stat* status = nullptr) {
  const File file = open_private(path, O_RDONLY);
  if (!file.is_open()) return std::nullopt;
  struct stat found{};
  if (::fstat(file.fd(), &found) != 0) return std::nullopt;
  if (status != nullptr) *status = found;
  if (static_cast<std::size_t>(found.st_size) > most_item_bytes) {
    errno = EFBIG;
    return std::nullopt;
  }
  std::string text(static_cast<std::size_t>(found.st_size), '\0');
  std::size_t size = 0;
  while (size < text.size()) {
    const ssize_t got = ::read(file.fd(), text.data() + size, text.size() - size);
    if (got < 0) return std::nullopt;
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return text;
}

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = ::write(fd, text.data(), text.size());
    if (sent < 0) return false;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number number{};
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || stop != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string_view word(std::string_view& text) {
  const std::size_t end = std::min(text.find_first_of(" \n"), text.size());
  const std::string_view first = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return first;
}

std::vector<std::string> names_in(const std::string& folder) {
  std::vector<std::string> names;
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), ::closedir);
  if (!open) return names;
  while (const dirent* const entry = ::readdir(open.get()))
    if (entry->d_name[0] != '.') names.emplace_back(entry->d_name);
  return names;
}

/// The folder and those above it, for this user alone.
bool make_folders(const std::string& folder) {
  for (std::size_t end = folder.find('/', 1); end != std::string::npos; end = folder.find('/', end + 1))
    if (::mkdir(folder.substr(0, end).c_str(), S_IRWXU) != 0 && errno != EEXIST) {
      struct stat status{};
      const int failure = errno;  // EROFS and EACCES also where it is there
      if (::stat(folder.substr(0, end).c_str(), &status) == 0 && S_ISDIR(status.st_mode)) continue;
      errno = failure;
      return false;
    }
  return true;
}

std::int64_t changed_ns(const struct stat& status) noexcept {
  return std::int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

struct Item {
  std::uint64_t version = 0;
  std::string_view value;
};
std::optional<Item> read_item(std::string_view text) {
  if (word(text) != "gatehouse-item" || word(text) != "1") return std::nullopt;
  const auto version = number_of<std::uint64_t>(word(text));
  if (!version || *version == 0) return std::nullopt;
  return Item{*version, text};
}

}  // namespace

std::string FileStorage::file_name(std::string_view item) {
  std::string name;
  for (const char c : item) {
    const bool is_plain =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    // A dot within is plain too: hosts stay readable, and no name is hidden, "." or "..".
    if (is_plain || (c == '.' && !name.empty()))
      name += c;
    else
      name += fmt::format("%{:02X}", static_cast<unsigned char>(c));
  }
  return name;
}

std::string FileStorage::item_name(std::string_view file) {
  std::string name;
  for (std::size_t i = 0; i < file.size(); ++i) {
    unsigned byte = 0;
    if (file[i] == '%' && i + 2 < file.size() &&
        std::from_chars(file.data() + i + 1, file.data() + i + 3, byte, 16).ptr == file.data() + i + 3) {
      name += static_cast<char>(byte);
      i += 2;
    } else {
      name += file[i];
    }
  }
  return name;
}

/// The folder is this process's alone.
class FileStorage::Lock {
 public:
  explicit Lock(const std::string& folder) : file_(open_private(folder + ".lock", O_RDWR | O_CREAT)) {
    while (file_.is_open() && ::flock(file_.fd(), LOCK_EX) != 0)
      if (errno != EINTR) break;
  }
  [[nodiscard]] bool is_held() const noexcept { return file_.is_open(); }

 private:
  File file_;
};

FileStorage::FileStorage(std::string folder, std::string member)
    : folder_(std::move(folder) + (folder.ends_with('/') ? "" : "/")), member_(std::move(member)) {}

FileStorage::~FileStorage() {
  drop_lease();
  if (member_fd_ >= 0) ::close(member_fd_);
}

void FileStorage::drop_lease() noexcept {
  if (lease_fd_ >= 0) ::close(std::exchange(lease_fd_, -1));
  fence_ = 0;
}

StorageResult<FileStorage::State> FileStorage::read_state() {
  State state;
  const auto text = read_all(folder_ + ".state");
  if (!text && errno != ENOENT) return away(folder_ + ".state");
  if (text) {
    std::string_view rest = *text;
    state.epoch = word(rest);
    const auto version = number_of<std::uint64_t>(word(rest)), fence = number_of<std::uint64_t>(word(rest));
    if (!state.epoch.empty() && version && fence) {
      state.version = *version;
      state.fence = *fence;
      return state;
    }
  }
  return new_state(0);
}

// Where there is none, or a damaged one, or an older one than it was: versions go on behind those of the items, fences
// behind `fence`, under another epoch.
StorageResult<FileStorage::State> FileStorage::new_state(std::uint64_t fence) {
  State state;
  state.epoch = fmt::format("{}:{}:{}", member_, ::time(nullptr), fence);
  for (const std::string& name : names_in(folder_ + "items"))
    if (const auto item = read_all(folder_ + "items/" + name))
      if (const auto read = read_item(*item)) state.version = std::max(state.version, read->version);
  state.fence = std::max(static_cast<std::uint64_t>(::time(nullptr)), fence + 1);
  if (auto written = write_state(state); !written) return std::unexpected(std::move(written.error()));
  return state;
}

StorageResult<Done> FileStorage::write_state(const State& state) {
  return write_file(".state", fmt::format("{} {} {}\n", state.epoch, state.version, state.fence));
}

// Replaced as a whole, and on the disk when this returns.
StorageResult<Done> FileStorage::write_file(const std::string& name, std::string_view text) {
  const std::string path = folder_ + name, fresh = folder_ + ".new";
  {
    ::unlink(fresh.c_str());
    const File file = open_private(fresh, O_WRONLY | O_CREAT | O_EXCL);
    if (!file.is_open() || !write_all(file.fd(), text) || ::fsync(file.fd()) != 0) {
      auto failure = away(fresh);
      ::unlink(fresh.c_str());
      return failure;
    }
  }
  if (::rename(fresh.c_str(), path.c_str()) != 0) return away(path);
  const File parent = open_private(path.substr(0, path.rfind('/') + 1), O_RDONLY | O_DIRECTORY);
  if (!parent.is_open() || ::fsync(parent.fd()) != 0) return away(path);
  return Done{};
}

StorageResult<Done> FileStorage::note_seen(std::uint64_t seen) {
  if (member_fd_ >= 0) {
    struct stat status{};
    if (::fstat(member_fd_, &status) == 0 && status.st_nlink == 0) ::close(std::exchange(member_fd_, -1));
  }
  if (member_fd_ < 0) {
    File file = open_private(folder_ + "members/" + member_, O_RDWR | O_CREAT);
    if (!file.is_open() || ::flock(file.fd(), LOCK_EX | LOCK_NB) != 0) return away(folder_ + "members/" + member_);
    member_fd_ = file.release();
    told_ = ~seen;
  }
  if (told_ == seen) return Done{};
  const std::string text = fmt::format("{:020}\n", seen);
  if (::pwrite(member_fd_, text.data(), text.size(), 0) != static_cast<ssize_t>(text.size()))
    return away(folder_ + "members/" + member_);
  told_ = seen;
  return Done{};
}

bool FileStorage::holds_lease() const noexcept {
  struct stat held{}, there{};
  return lease_fd_ >= 0 && ::fstat(lease_fd_, &held) == 0 && ::stat((folder_ + ".lease").c_str(), &there) == 0 &&
         held.st_ino == there.st_ino;
}

bool FileStorage::take_lease(State& state) {
  if (holds_lease()) return true;
  drop_lease();  // if there is one, the folder was emptied
  File file = open_private(folder_ + ".lease", O_RDWR | O_CREAT);
  if (!file.is_open() || ::flock(file.fd(), LOCK_EX | LOCK_NB) != 0) return false;
  ++state.fence;
  if (!write_state(state)) return false;
  lease_fd_ = file.release();
  fence_ = state.fence;
  return true;
}

// Looks at whatever is in the folder, also if it was put there from outside, but at each file only when the folder's own
// time says that one was put there, and every few seconds for those that were written to where they are. What is gone,
// cannot be read any more or is older than it was is told as well: whoever has it in memory has another version than is
// there, and could never replace it.
void FileStorage::scan_items() {
  const std::string folder = folder_ + "items/";
  struct stat status{};
  const auto now = std::chrono::system_clock::now();
  const std::int64_t folder_changed_ns = ::stat(folder.c_str(), &status) == 0 ? changed_ns(status) : 0;
  if (folder_changed_ns != 0 && folder_changed_ns == scanned_.folder_changed_ns && now >= scanned_.at &&
      now < scanned_.at + longest_trust)
    return;
  std::map<std::string, Known> present;
  for (std::string& name : names_in(folder)) {
    const std::string path = folder + name;
    if (::stat(path.c_str(), &status) != 0) continue;
    Known known{status.st_ino, 0, changed_ns(status)};
    const auto before = known_.find(name);
    if (before != known_.end() && before->second.inode == known.inode &&
        before->second.changed_ns == known.changed_ns) {
      known.version = before->second.version;
    } else if (const auto text = read_all(path)) {
      if (const auto item = read_item(*text)) known.version = item->version;
    }
    const bool is_new = before == known_.end();
    const std::uint64_t version_before = is_new ? 0 : before->second.version;
    if (known.version < version_before || (known.version == 0 && is_new)) {
      damaged_[name] = known.version;
    } else if (known.version > version_before) {
      damaged_.erase(name);
      gone_.erase(name);
    }
    present.emplace(std::move(name), known);
  }
  for (const auto& [name, known] : known_)
    if (!present.contains(name)) {
      gone_.insert(name);
      damaged_.erase(name);
    }
  known_ = std::move(present);
  // The kernel's clock of files is coarse: what changes now may get the time that was seen.
  const std::int64_t now_ns = std::chrono::nanoseconds(now.time_since_epoch()).count();
  const bool is_settled = now_ns - folder_changed_ns > std::chrono::nanoseconds(coarsest_file_time).count();
  scanned_ = {.folder_changed_ns = is_settled ? folder_changed_ns : 0, .at = now};
}

StorageResult<SyncAnswer> FileStorage::sync_now(const acme::SyncRequest& request) {
  for (const char* const name : {"items/", "members/"})
    if (!make_folders(folder_ + name)) return away(folder_ + name);
  const Lock lock(folder_);
  if (!lock.is_held()) return away(folder_ + ".lock");
  auto state = read_state();
  // Nobody else gives fences while the lease is held: what says another one is not what was written here.
  if (state && holds_lease() && state->fence != fence_) {
    state = new_state(std::max(state->fence, fence_));
    if (state) fence_ = state->fence;
  }
  if (!state) return std::unexpected(std::move(state.error()));
  SyncAnswer answer;
  answer.epoch = state->epoch;
  const std::uint64_t seen = request.epoch == state->epoch ? request.seen : 0;
  if (!request.wants_lease) {
    drop_lease();
    if (member_fd_ >= 0) {
      ::unlink((folder_ + "members/" + member_).c_str());
      ::close(std::exchange(member_fd_, -1));
    }
    answer.version = seen;
    return answer;
  }
  if (auto noted = note_seen(seen); !noted) return std::unexpected(std::move(noted.error()));
  if (take_lease(*state)) answer.fence = fence_;

  answer.members = 0;
  answer.seen_by_all = state->version;
  for (const std::string& name : names_in(folder_ + "members")) {
    const std::string path = folder_ + "members/" + name;
    if (name != member_) {
      const File file = open_private(path, O_RDONLY);
      if (file.is_open() && ::flock(file.fd(), LOCK_SH | LOCK_NB) == 0) {
        ::unlink(path.c_str());  // its process has ended
        continue;
      }
    }
    const auto text = read_all(path);
    std::string_view rest = text ? std::string_view(*text) : std::string_view();
    ++answer.members;
    answer.seen_by_all = std::min(answer.seen_by_all, number_of<std::uint64_t>(word(rest)).value_or(0));
  }

  answer.version = seen;
  scan_items();
  std::vector<std::map<std::string, Known>::const_pointer> newer;
  for (const auto& item : known_)
    if (item.second.version > seen) newer.push_back(&item);
  const auto version_of = [](const auto* item) { return item->second.version; };
  answer.has_more = newer.size() > page;
  std::ranges::partial_sort(newer, newer.begin() + static_cast<std::ptrdiff_t>(std::min(newer.size(), page)), {},
                            version_of);
  if (answer.has_more) newer.resize(page);
  for (const auto* const found : newer) {
    const std::string path = folder_ + "items/" + found->first;
    const auto text = read_all(path);
    const auto item = text ? read_item(*text) : std::nullopt;
    if (!item) {
      scanned_ = {};
      return std::unexpected(StorageError{StorageError::Kind::damaged, path});
    }
    answer.changed.push_back({item_name(found->first), std::string(item->value), item->version});
    answer.version = item->version;
  }
  // Told once, with an answer that arrives.
  for (const std::string& name : gone_) answer.changed.push_back({item_name(name), {}, 0});
  for (const auto& [name, version] : damaged_) answer.damaged.push_back({item_name(name), {}, version});
  gone_.clear();
  damaged_.clear();
  return answer;
}

StorageResult<std::uint64_t> FileStorage::put_now(const std::string& name, const std::string& value,
                                                  std::uint64_t expected, std::uint64_t fence) {
  const Lock lock(folder_);
  if (!lock.is_held()) return away(folder_ + ".lock");
  auto state = read_state();
  if (!state) return std::unexpected(std::move(state.error()));
  if (fence != 0 && (fence != fence_ || fence != state->fence || lease_fd_ < 0))
    return std::unexpected(StorageError{StorageError::Kind::fenced, "another process holds the lease by now"});
  const std::string file = "items/" + file_name(name);
  std::uint64_t present = 0;
  if (const auto text = read_all(folder_ + file)) {
    if (const auto item = read_item(*text)) present = item->version;
  } else if (errno != ENOENT) {
    return away(folder_ + file);
  }
  if (present != expected)
    return std::unexpected(StorageError{StorageError::Kind::conflict, "it has been changed since"});
  ++state->version;
  // First the version, so that none is given twice.
  if (auto written = write_state(*state); !written) return std::unexpected(std::move(written.error()));
  const acme::Secret text(fmt::format("gatehouse-item 1 {}\n{}", state->version, value));
  if (auto written = write_file(file, text.reveal()); !written) return std::unexpected(std::move(written.error()));
  return state->version;
}

acme::Flow<StorageResult<SyncAnswer>> FileStorage::sync(acme::SyncRequest request) { co_return sync_now(request); }

acme::Flow<StorageResult<std::uint64_t>> FileStorage::put(std::string name, std::string value, std::uint64_t expected,
                                                          std::uint64_t fence) {
  const acme::Secret wiped(std::move(value));
  co_return put_now(name, std::string(wiped.reveal()), expected, fence);
}

}  // namespace gatehouse::server
