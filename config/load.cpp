// Reading the files of a configuration. See load.hpp.
#include "config/load.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <expected>
#include <filesystem>
#include <system_error>

#include "config/files.hpp"
#include "config/gateway_reader.hpp"
#include "config/text.hpp"
#include "config/yaml.hpp"

namespace gatehouse::config {
namespace {

namespace fs = std::filesystem;

std::string system_message(int code) { return std::generic_category().message(code); }

Problem problem_of(const std::string& file, std::string message) {
  return {Severity::error, {file, 0, 0}, std::move(message), {}, 0};
}

/// A file of at most kMostBytes (one byte more tells the parser that it is too large). A tenant's must be a regular
/// file: whoever can put a named pipe or a device there must not stop the gateway with it.
std::expected<std::string, std::string> read_file(const std::string& path, bool regular_only) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | (regular_only ? O_NONBLOCK : 0));
  if (fd < 0) return std::unexpected("cannot read the file: " + system_message(errno));
  struct Closer {
    int fd;
    ~Closer() { ::close(fd); }
  } closer{fd};
  struct stat status{};
  if (::fstat(fd, &status) != 0) return std::unexpected("cannot read the file: " + system_message(errno));
  if (S_ISDIR(status.st_mode)) return std::unexpected("this is a directory, not a file");
  if (regular_only && !S_ISREG(status.st_mode)) return std::unexpected("this is not a regular file");
  std::string text;
  while (text.size() <= kMostBytes) {
    const std::size_t have = text.size();
    text.resize(have + 64UL * 1024);
    const ssize_t count = ::read(fd, text.data() + have, text.size() - have);
    const int code = errno;
    text.resize(have + static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
    if (count == 0) return text;
    if (count < 0 && code != EINTR) return std::unexpected("cannot read the file: " + system_message(code));
  }
  text.resize(kMostBytes + 1);
  return text;
}

bool is_good_stem(std::string_view stem) {
  return !stem.empty() && stem.size() <= 100 &&
         stem.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
             std::string_view::npos;
}

/// A line of whatever file a link leads to could be shown in a problem. The links of a ConfigMap stay inside.
bool leads_out_of(const std::string& path, const std::string& directory) {
  std::error_code error;
  if (!fs::is_symlink(path, error)) return false;
  const fs::path folder = fs::canonical(directory, error);
  if (error) return true;
  const fs::path file = fs::weakly_canonical(path, error);
  return error || !file.string().starts_with((folder / "").string());
}

LoadedTenant load_tenant(const std::string& path, const std::string& name, const GatewayConfig& gateway) {
  LoadedTenant loaded;
  const std::string stem = stem_of(name);
  loaded.stem = loaded.name = printable(stem);
  if (!name.ends_with(".yaml")) {
    loaded.problems.push_back(
        problem_of(path, "this file is not read, since its name does not end in .yaml: rename it"));
    return loaded;
  }
  if (!is_good_stem(stem)) {
    loaded.problems.push_back(problem_of(
        path, "the name of a tenant's file has letters, digits, '_', '.' and '-' before .yaml, at most 100"));
    return loaded;
  }
  if (leads_out_of(path, gateway.tenants_directory)) {
    loaded.problems.push_back(problem_of(
        path,
        "this is a link out of the directory of the tenants' files, which is not followed: put the file itself there"));
    return loaded;
  }
  auto text = read_file(path, true);
  if (!text) {
    loaded.problems.push_back(problem_of(path, text.error()));
    return loaded;
  }
  return parse_tenant(*text, path, gateway);
}

}  // namespace

LoadedGateway load_gateway(const std::string& path) {
  auto text = read_file(path, false);
  if (text) return read_gateway(*text, path, true);
  LoadedGateway loaded;
  loaded.problems.push_back(problem_of(path, text.error()));
  return loaded;
}

std::expected<std::vector<LoadedTenant>, Problems> load_tenants(const GatewayConfig& gateway) {
  const auto failed = [&](const std::error_code& error) {
    return std::unexpected(Problems{
        problem_of(gateway.tenants_directory, "cannot read the directory of the tenants' files: " + error.message())});
  };
  std::error_code error;
  std::vector<std::string> names;
  fs::directory_iterator entries(gateway.tenants_directory, error);
  if (error) return failed(error);
  for (const fs::directory_iterator end; entries != end; entries.increment(error)) {
    if (error) return failed(error);
    std::string name = entries->path().filename().string();
    if (name.starts_with('.')) continue;
    if (name.ends_with(".yaml") || name.ends_with(".yml")) names.push_back(std::move(name));
  }
  if (error) return failed(error);
  std::ranges::sort(names);
  std::vector<LoadedTenant> tenants;
  tenants.reserve(names.size());
  for (const std::string& name : names) tenants.push_back(load_tenant(gateway.tenants_directory + name, name, gateway));
  settle_claims(tenants);
  return tenants;
}

}  // namespace gatehouse::config
