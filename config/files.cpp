// See files.hpp.
#include "config/files.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "config/read_file.hpp"
#include "config/text.hpp"

namespace gatehouse::config {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kLongestPath = 1024;

}  // namespace

std::string absolute_path(std::string_view path, const std::string& base) {
  return (fs::path(base) / fs::path(path)).lexically_normal().string();
}

std::string stem_of(std::string_view path) {
  std::string name = fs::path(path).filename().string();
  if (name.ends_with(".yaml")) name.resize(name.size() - 5);
  return name;
}

std::string folder_of(const std::string& absolute_path) {
  return with_slash(fs::path(absolute_path).parent_path().string());
}

FileRules FileRules::of_gateway(const std::string& file) {
  FileRules rules;
  rules.base_ = folder_of(file);
  return rules;
}

FileRules FileRules::of_tenant(const GatewayConfig& gateway, std::string_view stem) {
  FileRules rules;
  rules.tenants_directory_ = gateway.tenants_directory;
  rules.own_name_ = std::string(stem) + ".d";
  rules.base_ = gateway.tenants_directory + rules.own_name_ + "/";
  rules.allowed_ = gateway.policy.files;
  rules.confined_ = true;
  return rules;
}

std::expected<std::string, std::string> FileRules::resolve(std::string_view path) const {
  if (path.empty()) return std::unexpected("a path must not be empty");
  if (path.size() > kLongestPath) return std::unexpected(fmt::format("a path has at most {} bytes", kLongestPath));
  if (path.find('\0') != std::string_view::npos) return std::unexpected("a path must not contain a NUL byte");
  std::string absolute = absolute_path(path, base_);
  if (!confined_) return absolute;

  const auto folders = [&] {
    std::string out = cite(own_name_ + "/");
    for (const std::string& folder : allowed_) out += ", " + cite(folder);
    return out;
  };
  const bool relative = path.front() != '/';
  const bool below_own = is_below(absolute, base_);
  const auto in_allowed = [&](const std::string& where) {
    return std::ranges::any_of(allowed_, [&](const std::string& folder) { return is_below(where, folder); });
  };
  if (relative ? !below_own : !in_allowed(absolute)) {
    return std::unexpected(
        fmt::format("{} is outside of the folders whose files this tenant may name: {}", cite(path), folders()));
  }
  if (!may_read(real_path(absolute))) {
    return std::unexpected(fmt::format("{} leads by a link out of the folders whose files this tenant may name: {}",
                                       cite(path), folders()));
  }
  return absolute;
}

bool FileRules::may_read(const std::string& real) const {
  const auto really_below = [&](const std::string& folder) {
    const std::string real_folder = real_path(folder);
    return !real_folder.empty() && is_below(real, with_slash(real_folder));
  };
  // The tenant's folder may itself be a link within the tenants' directory (a ConfigMap's), but not one to elsewhere,
  // nor to another tenant's folder.
  const std::string real_own = real_path(tenants_directory_ + own_name_);
  const bool own_folder_is_own =
      is_below(real_own, with_slash(real_path(tenants_directory_))) && fs::path(real_own).filename() == own_name_;
  return !real.empty() &&
         ((own_folder_is_own && is_below(real, with_slash(real_own))) || std::ranges::any_of(allowed_, really_below));
}

std::expected<std::string, std::string> FileRules::read(const std::string& absolute_path) const {
  const auto named = [&](const std::string& reason) {
    return std::unexpected(fmt::format("cannot read {}: {}", cite(absolute_path, 200), reason));
  };
  std::string text;
  if (confined_) {
    auto found = read_confined(absolute_path, [this](const std::string& real) { return may_read(real); }, most_bytes);
    if (!found) return named(found.error().reason);
    text = *std::move(found);
  } else {
    auto found = read_file(absolute_path, FileKind::regular, most_bytes);
    if (!found) return named(found.error());
    text = *std::move(found);
  }
  if (text.size() > most_bytes) return named(fmt::format("it has more than {} bytes", most_bytes));
  return text;
}

std::string FileRules::why_unreadable(const std::string& absolute_path) {
  struct stat status{};
  if (::stat(absolute_path.c_str(), &status) != 0) {
    const int code = errno;
    return fmt::format("cannot find {}: {}", cite(absolute_path, 200), std::generic_category().message(code));
  }
  if (!S_ISREG(status.st_mode)) return fmt::format("{} is not a regular file", cite(absolute_path, 200));
  if (static_cast<std::uintmax_t>(status.st_size) > most_bytes)
    return fmt::format("{} has more than {} bytes", cite(absolute_path, 200), most_bytes);
  if (::access(absolute_path.c_str(), R_OK) != 0) {
    const int code = errno;
    return fmt::format("cannot read {}: {}", cite(absolute_path, 200), std::generic_category().message(code));
  }
  return {};
}

std::string FileRules::why_no_log(const std::string& absolute_path) {
  const std::string shown = cite(absolute_path, 200);
  struct stat status{};
  if (::lstat(absolute_path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return fmt::format("{} is a folder; name a file in it", shown);
    if (S_ISLNK(status.st_mode)) return fmt::format("{} is a link, which a log does not follow; name the file", shown);
    return {};
  }
  const auto error_of = [](const fs::path& folder) {
    struct stat found{};
    return ::stat(folder.c_str(), &found) != 0 ? errno : S_ISDIR(found.st_mode) ? 0 : ENOTDIR;
  };
  const fs::path folder = fs::path(absolute_path).parent_path();
  int error = error_of(folder);
  if (error == ENOENT) error = error_of(folder.parent_path());  // one missing folder is made
  if (error == 0 || error == EACCES) return {};
  return fmt::format(
      "there is no folder {} for this log; make it, or name a file elsewhere, or \"-\" for standard output",
      cite(folder.string(), 200));
}

}  // namespace gatehouse::config
