// Any bytes as gateway.yaml and as a tenant's file: no crash, no hang, no growth beyond bounds, and whatever is said
// about them is one line of valid UTF-8.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "config/load.hpp"
#include "config/text.hpp"
#include "config/yaml.hpp"

namespace {

using namespace gatehouse::config;

void require(bool condition) {
  if (!condition) std::abort();
}

void check(const Problems& problems) {
  require(problems.size() <= Source::kMostProblems + 1);
  for (const Problem& problem : problems) {
    require(problem.source_line.size() <= 210);
    require(printable(problem.message, 100'000) == problem.message);
    const std::string shown = problem.to_string();
    require(find_invalid_utf8(shown) == std::string_view::npos);
    std::size_t lines = 1;
    for (const char c : shown) {
      require(c == '\n' || static_cast<unsigned char>(c) >= 0x20);
      lines += c == '\n' ? 1 : 0;
    }
    require(lines <= 3);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const GatewayConfig gateway = *parse_gateway("", "/nonexistent/gateway.yaml").config;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const LoadedGateway loaded = parse_gateway(text, "/nonexistent/gateway.yaml");
  require(loaded.config.has_value() != has_errors(loaded.problems));
  check(loaded.problems);
  std::vector<LoadedTenant> tenants;
  tenants.push_back(parse_tenant(text, "/nonexistent/tenants/a.yaml", gateway));
  tenants.push_back(parse_tenant(text, "/nonexistent/tenants/b.yaml", gateway));
  for (const LoadedTenant& tenant : tenants) require((tenant.config != nullptr) != has_errors(tenant.problems));
  settle_claims(tenants);
  require(!tenants[1].config);  // the same name twice
  for (const LoadedTenant& tenant : tenants) check(tenant.problems);
  return 0;
}
