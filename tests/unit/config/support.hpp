// What the tests of the loader share: a valid tenant into which one section is put, and matchers for problems.
#pragma once

#include <gmock/gmock.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "config/load.hpp"

namespace gatehouse::config::test {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

/// "3:5: error: message", one for each problem.
inline std::vector<std::string> lines_of(const Problems& problems) {
  std::vector<std::string> out;
  for (const Problem& p : problems) {
    out.push_back(std::to_string(p.place.line) + ":" + std::to_string(p.place.column) +
                  (p.severity == Severity::error ? ": error: " : ": warning: ") + p.message);
  }
  return out;
}

inline auto error_at(const std::string& place, const std::string& words) {
  return AllOf(StartsWith(place + ": error: "), HasSubstr(words));
}
inline auto warning_at(const std::string& place, const std::string& words) {
  return AllOf(StartsWith(place + ": warning: "), HasSubstr(words));
}

inline constexpr std::string_view kHosts = "hosts: [{name: shop.example, tls: {self_signed: true}}]\n";
inline constexpr std::string_view kServices = "services: {web: {sites: [{site: a, endpoints: [\"10.0.0.1:80\"]}]}}\n";
inline constexpr std::string_view kRoutes = "routes: [{match: {path: /}, service: web}]\n";

/// A valid tenant with `section` from line 2 on, in place of the default section of the same key.
inline std::string tenant_with(const std::string& section) {
  std::string out = "tenant: shop\n" + section;
  if (!out.ends_with('\n')) out += '\n';
  for (const std::string_view other : {kHosts, kServices, kRoutes}) {
    const std::string key(other.substr(0, other.find(':') + 1));
    if (!section.starts_with(key) && section.find("\n" + key) == std::string::npos) out += other;
  }
  return out;
}

/// A gateway as an empty file makes it, but with Redis, so that limits do not warn.
inline GatewayConfig gateway_with(const std::string& text = "redis: {url: \"redis://127.0.0.1\"}") {
  LoadedGateway loaded = parse_gateway(text, "/nonexistent/gateway.yaml");
  EXPECT_TRUE(loaded.config) << (loaded.problems.empty() ? "" : loaded.problems[0].to_string());
  return *loaded.config;
}

inline LoadedTenant tenant_of(const std::string& section, const GatewayConfig& gateway = gateway_with()) {
  return parse_tenant(tenant_with(section), "/nonexistent/tenants/shop.yaml", gateway);
}
inline std::vector<std::string> tenant_problems(const std::string& section,
                                                const GatewayConfig& gateway = gateway_with()) {
  const LoadedTenant loaded = tenant_of(section, gateway);
  EXPECT_EQ(loaded.config == nullptr, has_errors(loaded.problems));
  return lines_of(loaded.problems);
}
/// The tenant, which must be without errors and warnings.
inline TenantConfig good_tenant(const std::string& section, const GatewayConfig& gateway = gateway_with()) {
  const LoadedTenant loaded = tenant_of(section, gateway);
  EXPECT_THAT(lines_of(loaded.problems), IsEmpty());
  return loaded.config ? *loaded.config : TenantConfig{};
}

inline std::vector<std::string> gateway_problems(const std::string& text) {
  const LoadedGateway loaded = parse_gateway(text, "/nonexistent/gateway.yaml");
  EXPECT_EQ(!loaded.config, has_errors(loaded.problems));
  return lines_of(loaded.problems);
}
inline GatewayConfig good_gateway(const std::string& text) {
  const LoadedGateway loaded = parse_gateway(text, "/nonexistent/gateway.yaml");
  EXPECT_THAT(lines_of(loaded.problems), IsEmpty());
  return loaded.config ? *loaded.config : GatewayConfig{};
}

/// A folder of the test's own, gone at its end.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "gatehouse-config-XXXXXX").string();
    path_ = std::filesystem::canonical(mkdtemp(name.data())).string() + "/";
  }
  ~TemporaryFolder() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  std::string write(const std::string& name, std::string_view text) const {
    std::filesystem::create_directories(std::filesystem::path(path_ + name).parent_path());
    std::ofstream(path_ + name, std::ios::binary) << text;
    return path_ + name;
  }
  void link(const std::string& name, const std::string& target) const {
    std::filesystem::create_directories(std::filesystem::path(path_ + name).parent_path());
    std::filesystem::create_symlink(target, path_ + name);
  }

 private:
  std::string path_;
};

}  // namespace gatehouse::config::test
