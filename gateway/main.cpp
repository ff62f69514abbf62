// The command line: run, check, schema, health, certs. Exit codes: 0, 1 failed, 2 usage.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "config/hostname.hpp"
#include "config/text.hpp"
#include "gateway/runtime/core_files.hpp"
#include "gateway/server/admin_client.hpp"
#include "gateway/server/admin_commands.hpp"
#include "gateway/server/check.hpp"
#include "gateway/server/health_probe.hpp"
#include "gateway/server/server.hpp"

namespace {

using namespace gatehouse;

constexpr int failed = 1;
constexpr int usage = 2;

int run(const std::string& path) {
  server::hold_signals();  // those that come while it starts are served when it has
  config::LoadedGateway loaded = config::load_gateway(path);
  for (const config::Problem& problem : loaded.problems) std::cerr << problem.to_string() << '\n';
  if (!loaded.config) {
    std::cerr << "gatehouse: the configuration has errors; nothing was started\n";
    return failed;
  }
  try {
    server::Server server(std::make_shared<const config::GatewayConfig>(std::move(*loaded.config)));
    return server.run();
  } catch (const std::exception& error) {
    runtime::set_journal_file(nullptr);
    std::cerr << "gatehouse: " << error.what() << '\n';
    return failed;
  }
}

std::optional<std::string> text_of(const std::string& path) {
  if (std::error_code error; std::filesystem::is_directory(path, error)) return std::nullopt;
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  if (!file) return std::nullopt;
  return text.str();
}

/// One command of `gatehouse certs`.
int certs(const std::string& admin, const std::string& method, const std::string& target, const std::string& body) {
  const auto address = SocketAddress::parse(admin);
  if (!address) {
    std::cerr << "gatehouse: --admin must be an address and a port, such as 127.0.0.1:9901\n";
    return usage;
  }
  const auto reply = server::ask_admin(*address, method, target, body);
  if (!reply) {
    std::cerr << "gatehouse: " << reply.error() << '\n';
    return failed;
  }
  (reply->is_success ? std::cout : std::cerr) << reply->text;
  return reply->is_success ? 0 : failed;
}

/// A host as it is asked for: in the form of configuration's hosts, but for the brackets of an IPv6 address, which may be
/// left out and which a query does not have.
std::expected<std::string, std::string> plain_host(const std::string& text) {
  const bool is_bare = std::ranges::count(text, ':') > 1 && !text.starts_with('[');
  auto host = config::normalise_host_pattern(is_bare ? '[' + text + ']' : text);
  if (host && host->starts_with('[')) return host->substr(1, host->size() - 2);
  return host;
}

/// `gatehouse certs list|renew|revoke|import|roll-over`. Strings and `code` outlive the parsing.
struct CertsOptions {
  std::string admin = "127.0.0.1:9901";
  std::string host, reason = "unspecified", chain, key, authority = "default";
};
void add_certs(CLI::App& app, CertsOptions& options, int& code) {
  auto* const command = app.add_subcommand("certs", "Certificates that the gateway on this machine obtains itself");
  command->require_subcommand(1);
  command->add_option("--admin", options.admin, "The admin address")->capture_default_str();
  const auto plain = [](const std::string& text) {
    return server::is_plain_parameter(text) ? std::string() : "a host name or another plain name is expected";
  };
  const auto a_host = [](const std::string& text) {
    const auto host = plain_host(text);
    return host ? std::string() : "a host name or an address is expected, as in a tenant's file: it " + host.error();
  };
  const auto at_host = [&options](const std::string& path) {
    return path + "?host=" + plain_host(options.host).value_or(std::string());
  };
  command->add_subcommand("list", "Each host's certificate, issuer, when it renews and the last error")->callback([&] {
    code = certs(options.admin, "GET", "/certificates", {});
  });
  auto* const renew = command->add_subcommand("renew", "Replace a certificate now");
  renew->add_option("host", options.host, "The host")->required()->check(a_host);
  renew->callback([&, at_host] { code = certs(options.admin, "POST", at_host("/certificates/renew"), {}); });
  auto* const revoke = command->add_subcommand("revoke", "Revoke a certificate, and replace it");
  revoke->add_option("host", options.host, "The host")->required()->check(a_host);
  revoke->add_option("--reason", options.reason, "Why (RFC 5280 section 5.3.1)")
      ->check(CLI::IsMember(server::revocation_reasons()))
      ->capture_default_str();
  revoke->callback([&, at_host] {
    code = certs(options.admin, "POST", at_host("/certificates/revoke") + "&reason=" + options.reason, {});
  });
  auto* const import_command =
      command->add_subcommand("import", "Serve a certificate from elsewhere until it is renewed");
  import_command->add_option("host", options.host, "The host")->required()->check(a_host);
  import_command->add_option("--chain", options.chain, "PEM file: the certificate, then those above it")->required();
  import_command->add_option("--key", options.key, "PEM file of its key")->required();
  import_command->callback([&, at_host] {
    const auto chain = text_of(options.chain), key = text_of(options.key);
    if (!chain || !key) {
      std::cerr << "gatehouse: cannot read " << (chain ? options.key : options.chain) << '\n';
      code = failed;
      return;
    }
    code = certs(options.admin, "POST", at_host("/certificates/import"), *chain + "\n" + *key);
  });
  auto* const roll_over = command->add_subcommand("roll-over", "Give the account of a CA another key");
  roll_over->add_option("authority", options.authority, "The CA's name in gateway.yaml")->check(plain);
  roll_over->callback(
      [&] { code = certs(options.admin, "POST", "/certificates/roll-over?authority=" + options.authority, {}); });
  for (CLI::App* const subcommand : command->get_subcommands({})) subcommand->fallthrough();  // --admin behind it too
}

}  // namespace

int main(int argc, char** argv) {
  runtime::keep_memory_out_of_core_files();
  CLI::App app{"Gatehouse: an ingress gateway with TLS, a web application firewall, shared rate limits and failover",
               "gatehouse"};
  app.set_version_flag("--version", std::string("gatehouse " GATEHOUSE_VERSION));
  app.require_subcommand(1);
  int code = 0;

  std::string config_path;
  auto* const run_command = app.add_subcommand("run", "Serve");
  run_command->add_option("--config", config_path, "gateway.yaml")->required();
  run_command->callback([&] { code = run(config_path); });

  server::CheckOptions check_options;
  auto* const check_command = app.add_subcommand("check", "Check gateway.yaml and all tenants; every problem at once");
  check_command->add_option("--config", check_options.path, "gateway.yaml")->required();
  check_command->add_flag("-v,--verbose", check_options.verbose, "Also say what was read");
  std::string output = "text";
  check_command->add_option("--output", output, "text or json")->check(CLI::IsMember({"text", "json"}));
  check_command->callback([&] {
    check_options.json = output == "json";
    code = server::run_check(check_options, std::cout) ? 0 : failed;
  });

  std::string schema_of;
  auto* const schema_command = app.add_subcommand("schema", "JSON Schema of a configuration file, for editors");
  schema_command->add_option("file", schema_of, "gateway or tenant")
      ->required()
      ->check(CLI::IsMember({"gateway", "tenant"}));
  schema_command->callback(
      [&] { std::cout << (schema_of == "gateway" ? config::gateway_schema() : config::tenant_schema()) << '\n'; });

  std::string admin = "127.0.0.1:9901";
  auto* const health_command = app.add_subcommand("health", "Exit 0 when the gateway on this machine is ready");
  health_command->add_option("--admin", admin, "The admin address")->capture_default_str();
  health_command->callback([&] {
    const auto address = SocketAddress::parse(admin);
    if (!address) {
      std::cerr << "gatehouse: --admin must be an address and a port, such as 127.0.0.1:9901\n";
      code = usage;
      return;
    }
    code = server::is_ready(*address) ? 0 : failed;
    if (code != 0) std::cerr << "gatehouse: nothing at " << admin << " says that it is ready\n";
  });

  CertsOptions certs_options;
  add_certs(app, certs_options, code);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const auto is_first = [&](const CLI::App* command) { return command->get_name() == argv[1]; };
    if (argc > 1 && argv[1][0] != '-' && std::ranges::none_of(app.get_subcommands({}), is_first)) {
      std::cerr << "gatehouse: there is no command '" << config::printable(argv[1])
                << "'; gatehouse --help says what there is\n";
      return usage;
    }
    const int result = app.exit(error);
    return result == 0 ? 0 : usage;
  }
  return code;
}
