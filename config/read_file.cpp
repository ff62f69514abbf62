// See read_file.hpp.
#include "config/read_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

namespace gatehouse::config {
namespace {

namespace fs = std::filesystem;

std::string system_message(int code) { return std::generic_category().message(code); }

class Descriptor {
 public:
  explicit Descriptor(int fd) noexcept : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  [[nodiscard]] int get() const noexcept { return fd_; }

 private:
  int fd_;
};

constexpr int reading = O_RDONLY | O_CLOEXEC | O_NOCTTY;

/// Opens `real`, absolute and normalised, folder by folder, and fails at a link.
Descriptor open_without_links(std::string_view real) {
  Descriptor at(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  real.remove_prefix(1);
  while (at.get() >= 0) {
    const std::size_t slash = real.find('/');
    const std::string name(real.substr(0, slash));
    if (slash == std::string_view::npos)
      return Descriptor(::openat(at.get(), name.c_str(), reading | O_NONBLOCK | O_NOFOLLOW));
    at = Descriptor(::openat(at.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    real.remove_prefix(slash + 1);
  }
  return at;
}

/// `fd` is what an open has returned, errno its error.
std::expected<std::string, std::string> read_open(int fd, FileKind kind, std::size_t most_bytes) {
  struct stat status{};
  if (fd < 0 || ::fstat(fd, &status) != 0) return std::unexpected(system_message(errno));
  if (S_ISDIR(status.st_mode)) return std::unexpected("this is a directory, not a file");
  if (kind == FileKind::regular && !S_ISREG(status.st_mode)) return std::unexpected("this is not a regular file");
  std::string text;
  while (text.size() <= most_bytes) {
    const std::size_t have = text.size();
    text.resize(std::min(have + 64UL * 1024, most_bytes + 1));
    const ssize_t count = ::read(fd, text.data() + have, text.size() - have);
    const int code = errno;
    text.resize(have + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    if (count == 0) break;
    if (count < 0 && code != EINTR) return std::unexpected(system_message(code));
  }
  return text;
}

}  // namespace

std::expected<std::string, std::string> read_file(const std::string& path, FileKind kind, std::size_t most_bytes) {
  const Descriptor file(::open(path.c_str(), reading | (kind == FileKind::regular ? O_NONBLOCK : 0)));
  return read_open(file.get(), kind, most_bytes);
}

std::expected<std::string, ConfinedError> read_confined(const std::string& path,
                                                        const std::function<bool(const std::string& real)>& may_read,
                                                        std::size_t most_bytes) {
  constexpr int attempts = 4;
  for (int attempt = 1;; ++attempt) {
    const std::string real = real_path(path);
    if (!real.starts_with('/') || !may_read(real))
      return std::unexpected(ConfinedError{true, "a link leads out of the folders that may be read"});
    const Descriptor file = open_without_links(real);
    if (file.get() < 0 && errno == ELOOP) errno = ENOENT;  // a link to what is not there, or no longer
    auto text = read_open(file.get(), FileKind::regular, most_bytes);
    if (text) return *std::move(text);
    if (attempt == attempts || real_path(path) == real) return std::unexpected(ConfinedError{false, text.error()});
  }
}

std::string real_path(const std::string& path) {
  std::error_code error;
  const fs::path real = fs::weakly_canonical(path, error);
  return error ? std::string() : real.string();
}

bool is_below(std::string_view path, std::string_view folder) noexcept {
  return path.size() > folder.size() && path.starts_with(folder);
}

std::string with_slash(std::string folder) {
  if (!folder.ends_with('/')) folder += '/';
  return folder;
}

}  // namespace gatehouse::config
