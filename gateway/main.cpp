// The command line: run, check, schema, health. Exit codes: 0, 1 failed, 2 usage.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <iostream>

#include "gateway/server/check.hpp"
#include "gateway/server/health_probe.hpp"
#include "gateway/server/server.hpp"

namespace {

using namespace gatehouse;

constexpr int failed = 1;
constexpr int usage = 2;

int run(const std::string& path) {
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

}  // namespace

int main(int argc, char** argv) {
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
  });

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int result = app.exit(error);
    return result == 0 ? 0 : usage;
  }
  return code;
}
