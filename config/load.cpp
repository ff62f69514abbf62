// Reading the files of a configuration. See load.hpp.
#include "config/load.hpp"

#include <algorithm>
#include <expected>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "config/files.hpp"
#include "config/gateway_reader.hpp"
#include "config/read_file.hpp"
#include "config/text.hpp"
#include "config/yaml.hpp"

namespace gatehouse::config {
namespace {

namespace fs = std::filesystem;

Problem problem_of(const std::string& file, std::string message) {
  return {Severity::error, {file, 0, 0}, std::move(message), {}, 0};
}

bool is_good_stem(std::string_view stem) {
  return !stem.empty() && stem.size() <= 100 &&
         stem.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") ==
             std::string_view::npos;
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
  // A line of whatever file a link leads to could be shown in a problem. The links of a ConfigMap stay inside.
  const std::string folder = with_slash(real_path(gateway.tenants_directory));
  const auto text = read_confined(path, [&](const std::string& real) { return is_below(real, folder); }, kMostBytes);
  if (!text) {
    loaded.problems.push_back(problem_of(
        path, text.error().leads_out ? "this is a link out of the directory of the tenants' files, which is not "
                                       "followed: put the file itself there"
                                     : "cannot read the file: " + text.error().reason));
    return loaded;
  }
  return parse_tenant(*text, path, gateway);
}

}  // namespace

LoadedGateway load_gateway(const std::string& path) {
  const auto text = read_file(path, FileKind::any, kMostBytes);
  if (text) return read_gateway(*text, path, true);
  LoadedGateway loaded;
  loaded.problems.push_back(problem_of(path, "cannot read the file: " + text.error()));
  return loaded;
}

std::expected<std::vector<LoadedTenant>, Problems> load_tenants(const GatewayConfig& gateway) {
  auto tenants = read_tenants(gateway);
  if (tenants) settle_claims(*tenants);
  return tenants;
}

std::expected<std::vector<LoadedTenant>, Problems> read_tenants(const GatewayConfig& gateway) {
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
  return tenants;
}

}  // namespace gatehouse::config
