// Commands about certificates; see admin_commands.hpp.
#include "gateway/server/admin_commands.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <array>
#include <charconv>
#include <optional>

namespace gatehouse::server {

namespace {

/// The value of a parameter; percent-encoding is not needed for what is asked here.
std::string parameter(std::string_view target, std::string_view name) {
  const std::size_t query = target.find('?');
  if (query == std::string_view::npos) return {};
  std::string_view rest = target.substr(query + 1);
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
    if (pair.substr(0, pair.find('=')) == name)
      return std::string(pair.find('=') == std::string_view::npos ? "" : pair.substr(pair.find('=') + 1));
  }
  return {};
}

struct Reason {
  std::string_view name;
  int code;
};
// RFC 5280 section 5.3.1; those that CAs take from subscribers.
constexpr std::array<Reason, 5> reasons{{{"unspecified", 0},
                                         {"keyCompromise", 1},
                                         {"affiliationChanged", 3},
                                         {"superseded", 4},
                                         {"cessationOfOperation", 5}}};

std::optional<int> reason_code(const std::string& text) {
  if (text.empty()) return 0;
  for (const Reason& reason : reasons)
    if (reason.name == text || std::to_string(reason.code) == text) return reason.code;
  return std::nullopt;
}

std::string day(acme::Time time) {
  if (time == acme::Time{}) return "-";
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
}

/// The certificates of a PEM text, and its private key.
std::pair<std::string, acme::Secret> split_pem(std::string_view text) {
  std::string chain, key;
  while (true) {
    const std::size_t begin = text.find("-----BEGIN ");
    if (begin == std::string_view::npos) break;
    const std::size_t end = text.find("-----END ", begin);
    if (end == std::string_view::npos) break;
    const std::size_t last = std::min(text.find('\n', end), text.size() - 1);
    const std::string_view block = text.substr(begin, last + 1 - begin);
    (block.starts_with("-----BEGIN CERTIFICATE-----") ? chain : key) += block;
    text.remove_prefix(last + 1);
  }
  return {std::move(chain), acme::Secret(std::move(key))};
}

}  // namespace

std::vector<std::string> revocation_reasons() {
  std::vector<std::string> names;
  for (const Reason& reason : reasons) names.emplace_back(reason.name);
  for (const Reason& reason : reasons) names.push_back(std::to_string(reason.code));
  return names;
}

runtime::Task<AdminAnswer> run_admin_command(Certificates& certificates, std::string target, std::string body) {
  const acme::Secret held(std::move(body));
  const std::string_view path = std::string_view(target).substr(0, target.find('?'));
  const std::string host = parameter(target, "host");
  const acme::Identifier name = acme::identifier_of(host);
  std::expected<acme::Done, std::string> done;
  std::string success;
  if (path == "/certificates/renew") {
    done = co_await certificates.certifier().request_renewal(name);
    success = "the certificate of " + host + " is renewed by the gateway that holds the lease\n";
  } else if (path == "/certificates/revoke") {
    const auto reason = reason_code(parameter(target, "reason"));
    if (!reason)
      co_return AdminAnswer{
          400, "reason: unspecified, keyCompromise, affiliationChanged, superseded or cessationOfOperation\n"};
    done = co_await certificates.certifier().request_revocation(name, *reason);
    success = "the certificate of " + host + " is revoked and replaced by the gateway that holds the lease\n";
  } else if (path == "/certificates/import") {
    auto [chain, key] = split_pem(held.reveal());
    done = co_await certificates.certifier().import(name, std::move(chain), std::move(key));
    success = "the certificate of " + host + " is stored and served\n";
  } else if (path == "/certificates/roll-over") {
    const std::string authority = parameter(target, "authority");
    done = co_await certificates.certifier().roll_over(authority);
    success = "the account of acme." + authority + " has another key\n";
  } else {
    co_return AdminAnswer{404, "no such command\n"};
  }
  if (!done) co_return AdminAnswer{409, done.error() + "\n"};
  co_return AdminAnswer{200, success};
}

std::string certificate_list(Certificates& certificates) {
  std::string out;
  const Certificates::Summary summary = certificates.summary();
  for (const acme::Certifier::State& state : certificates.certifier().states()) {
    out += fmt::format(
        "{:<40} {:<16} {:<24} until {:<21} renews {:<21}{}{}\n",
        acme::host_of(state.name.host) + (state.name.is_second ? " (RSA)" : ""), state.tenant,
        state.facts ? state.facts->issuer : "no certificate yet",
        day(state.facts ? state.facts->not_after : acme::Time{}), day(state.renew_at),
        state.is_at_work ? " at work" : "",
        state.last_error.empty() ? "" : fmt::format(" failed {} times: {}", state.failures, state.last_error));
  }
  if (out.empty()) out = "no host of any tenant has tls: {acme: ...}\n";
  if (!summary.trouble.empty()) out += "trouble: " + summary.trouble + "\n";
  return out;
}

}  // namespace gatehouse::server
