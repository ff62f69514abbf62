// `gatehouse check`; see check.hpp. The same loader and builder as the running gateway.
#include "gateway/server/check.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "gateway/runtime/json.hpp"
#include "gateway/server/acme_files.hpp"
#include "gateway/server/snapshot_builder.hpp"

namespace gatehouse::server {

namespace {

// What the loader does not open: the contents of keys.
void check_keys(const config::GatewayConfig& config, config::Problems& problems) {
  const auto add = [&](const config::Place& place, std::string message) {
    config::Problem problem;
    problem.place = place;
    problem.message = std::move(message);
    if (config.text) problem.show_source(*config.text);
    problems.push_back(std::move(problem));
  };
  for (const config::AcmeAuthority& authority : config.acme)
    if (const auto read = read_authority(authority); !read)
      add(authority.place, fmt::format("acme.{} cannot be used: {}", authority.name, read.error()));
  const std::string& key_file = config.storage.encryption_key_file;
  if (key_file.empty()) return;
  if (const auto read = read_storage_key(key_file); !read)
    add(config.storage_place, "storage.redis.encryption_key_file: " + read.error());
}

}  // namespace

bool run_check(const CheckOptions& options, std::ostream& out) {
  config::LoadedGateway loaded = config::load_gateway(options.path);
  config::Problems problems = std::move(loaded.problems);
  std::vector<std::string> notes;
  bool tenants_judged = false;
  // One problem of the platform's hides none of the tenants'.
  const auto gateway = std::make_shared<const config::GatewayConfig>(loaded.config ? *loaded.config : loaded.as_read);
  check_keys(*gateway, problems);
  if (gateway->text && !gateway->waf_unclear) {
    runtime::Loop loop;  // never run: no health check is sent
    runtime::Metrics metrics(1);
    upstream::HealthChecker health(loop, [](const upstream::HealthKey&, bool, const std::string&) {});
    // Nothing is stored, and nobody asks for a certificate.
    const auto no_certificate = [](const std::string&, const net::ServerTlsSettings&) {
      return std::make_shared<net::CertificateSlot>(1, nullptr, std::string());
    };
    SnapshotBuilder builder(metrics, health, loop, 1, no_certificate);
    builder.tell_all();
    const SnapshotBuilder::Result result = builder.build(gateway);
    problems.insert(problems.end(), result.problems.begin(), result.problems.end());
    if (result.snapshot) {
      tenants_judged = true;
      notes.push_back(fmt::format("{} tenants, {} hosts, {} files read", result.snapshot->tenants.size(),
                                  result.snapshot->hosts.size(), result.files.size()));
      for (const auto& routes : result.snapshot->tenants) {
        const filter::Tenant& tenant = routes->tenant;
        notes.push_back(fmt::format("tenant {}: {} hosts, {} services, {} routes, {} WAF rules", tenant.config->name,
                                    tenant.config->hosts.size(), tenant.services.size(), tenant.routes.size(),
                                    tenant.waf_policy ? tenant.waf_policy->rule_count() : 0));
      }
    }
  }
  if (!tenants_judged) {
    if (const auto tenants = config::load_tenants(*gateway))
      for (const config::LoadedTenant& tenant : *tenants)
        problems.insert(problems.end(), tenant.problems.begin(), tenant.problems.end());
  }
  // Files in order, and a file's problems from top to bottom.
  std::ranges::sort(problems, [](const config::Problem& a, const config::Problem& b) {
    return std::tie(a.place.file, a.place.line, a.place.column, a.message) <
           std::tie(b.place.file, b.place.line, b.place.column, b.message);
  });
  const bool fine = !config::has_errors(problems);
  if (options.json) {
    std::string text;
    runtime::JsonObject object(text);
    object.boolean("ok", fine);
    object.name("problems");
    text += '[';
    for (std::size_t i = 0; i < problems.size(); ++i) {
      if (i > 0) text += ',';
      runtime::JsonObject entry(text);
      entry.text("severity", problems[i].severity == config::Severity::error ? "error" : "warning");
      entry.text("file", problems[i].place.file);
      const config::Place& place = problems[i].place;
      entry.number("line", static_cast<std::uint64_t>(place.file.empty() ? 0 : place.shown_line()));
      entry.number("column", static_cast<std::uint64_t>(place.file.empty() ? 0 : place.shown_column()));
      entry.text("message", problems[i].message);
      entry.close();
    }
    text += ']';
    object.close();
    out << text << '\n';
    return fine;
  }
  for (const config::Problem& problem : problems) out << problem.to_string() << '\n';
  if (options.verbose)
    for (const std::string& note : notes) out << note << '\n';
  return fine;
}

}  // namespace gatehouse::server
