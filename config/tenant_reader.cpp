// A tenant's YAML text into a TenantConfig. The parts are read by the tenant_*.cpp; the same functions write the JSON
// Schema. Called by load.cpp and by `gatehouse schema`.
#include <fmt/format.h>

#include "config/gateway_reader.hpp"
#include "config/kinds.hpp"
#include "config/tenant_parts.hpp"
#include "config/text.hpp"

namespace gatehouse::config {
namespace {

Text tenant_name_text() {
  constexpr auto check = [](std::string_view text) -> Parsed<std::string> {
    if (text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") != std::string_view::npos)
      return std::unexpected("has characters other than small letters, digits and '-'");
    if (text.front() == '-' || text.back() == '-') return std::unexpected("begins or ends with '-'");
    return std::string(text);
  };
  return {"a tenant's name", check, 63, "^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"};
}

void read_access(Mapping& m, AccessLists& access) {
  m.read("allow", access.allow, list_of(Network{}, 0, 10'000), "Networks of the clients that are let in; empty: all.");
  m.read("deny", access.deny, list_of(Network{}, 0, 10'000),
         "Networks of the clients that are refused; wins over allow.");
}

void read_tenant_limits(Mapping& m, TenantLimits& limits) {
  constexpr std::uint64_t most = 10'000'000;
  m.read("requests_in_flight", limits.requests_in_flight, Integer{0, most},
         "Requests of this tenant at the same time; 0: no share of its own.");
  m.read("connections", limits.connections, Integer{0, most},
         "Client connections of this tenant; 0: no share of its own.");
  m.read("waf_cpu", limits.waf_cpu_thousandths, ProcessorShare{},
         "Processor time of this tenant's inspection in each second on each gateway; 0: no share of its own.");
}

void read_tenant_keys(Mapping& m, TenantConfig& tenant, const Platform& platform) {
  m.require("tenant", tenant.name, tenant_name_text(),
            "The tenant's name: in logs, metrics and the keys of rate limits.");
  tenant.place = m.place(m.at("tenant"));
  read_hosts(m, tenant, platform);
  read_services(m, tenant, platform);
  read_rate_limits(m, tenant, platform);
  read_routes(m, tenant, platform);
  read_tenant_waf(m, tenant, platform);
  m.read("access", tenant.access, object<AccessLists>(read_access), "Which clients are let in at all.");
  m.read("limits", tenant.limits, object<TenantLimits>(read_tenant_limits), "This tenant's share of the gateway.");
  m.unavailable("auth", "let the upstream authenticate its users, or narrow the clients by access: {allow: [...]}");
}

LoadedTenant parse(std::string_view text, const std::string& path, const GatewayConfig& gateway,
                   const FileRules& files) {
  LoadedTenant loaded;
  loaded.stem = stem_of(path);
  loaded.name = loaded.stem;
  Source source(text, path);
  const Node root = parse_yaml(source);
  TenantConfig tenant;
  tenant.file = absolute_file(path);
  tenant.text = std::make_shared<const std::string>(source.text());
  const Platform platform{gateway, files};
  bool good = false;
  if (root.kind == Node::Kind::null)
    source.error({}, "the file is empty; a tenant has at least 'tenant', 'hosts', 'services' and 'routes'");
  else
    good = object<TenantConfig>([&](Mapping& m, TenantConfig& out) {
             read_tenant_keys(m, out, platform);
           }).read(source, root, tenant);
  if (!tenant.name.empty()) loaded.name = tenant.name;
  loaded.problems = source.take_problems();
  loaded.missing = source.take_missing();
  if (good && !has_errors(loaded.problems)) {
    loaded.config = std::make_shared<const TenantConfig>(std::move(tenant));
  } else {
    auto as_read = std::make_shared<TenantConfig>(tenant);
    as_read->name = loaded.name;
    std::erase_if(as_read->hosts, [](const Host& host) { return host.unclear; });
    if (gateway.policy.tenant_rules == TenantRules::no) as_read->waf.rules_before = as_read->waf.rules_after = {};
    loaded.as_read = std::move(as_read);
    auto claims = std::make_shared<TenantConfig>();
    claims->file = std::move(tenant.file);
    claims->text = std::move(tenant.text);
    claims->name = loaded.name;
    claims->place = std::move(tenant.place);
    claims->hosts = std::move(tenant.hosts);
    loaded.claims = std::move(claims);
  }
  return loaded;
}

}  // namespace

LoadedTenant parse_tenant(std::string_view text, const std::string& path, const GatewayConfig& gateway) {
  return parse(text, path, gateway, FileRules::of_tenant(gateway, stem_of(path)));
}

LoadedTenant judge_again(std::string_view text, const std::string& path, const GatewayConfig& gateway) {
  return parse(text, path, gateway, FileRules::of_tenant(gateway, stem_of(path)).without_looking());
}

std::string tenant_schema() {
  const GatewayConfig gateway;
  const FileRules files = FileRules::of_tenant(gateway, "tenant");
  Mapping m;
  TenantConfig standard;
  read_tenant_keys(m, standard, {gateway, files});
  JsonObject schema;
  schema.add_string("$schema", "https://json-schema.org/draft/2020-12/schema")
      .add_string("title", "tenant file of gatehouse");
  return indented(schema.append(m.schema()).to_string());
}

}  // namespace gatehouse::config
