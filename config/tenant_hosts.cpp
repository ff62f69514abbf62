// `hosts` of a tenant's file. See tenant_parts.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>

#include "config/hostname.hpp"
#include "config/kinds.hpp"
#include "config/spelling.hpp"
#include "config/tenant_parts.hpp"
#include "config/text.hpp"

namespace gatehouse::config {
namespace {

constexpr std::string_view kSelfSignedNotice =
    "no certificate is named: browsers will warn of a self-signed one; name certificate_file and key_file, or say "
    "self_signed: true";

/// off, or a duration.
struct DurationOrOff {
  Milliseconds most;

  bool read(Source& source, const Node& node, std::optional<Milliseconds>& out) const {
    if (node.kind == Node::Kind::scalar && is_off(node)) {
      out.reset();
      return true;
    }
    Milliseconds value{};
    if (!Duration{.least = Milliseconds(0), .most = most}.read(source, node, value)) return false;
    out = value;
    return true;
  }
  [[nodiscard]] JsonObject schema() const {
    JsonObject schema;
    schema.add("anyOf", json_array({Duration{}.schema().to_string(), R"({"enum":["off",false]})"}));
    return schema;
  }
  [[nodiscard]] static std::string show(const std::optional<Milliseconds>& value) {
    return json_string(value ? show_duration(*value) : "off");
  }
};

void read_tls_keys(Mapping& m, Host& host, const Platform& platform) {
  const FileRules& files = platform.files;
  bool self_signed = false;
  m.read("acme", host.authority, name_text("a CA's name"),
         "A certificate that the gateway obtains from this CA of gateway.yaml's acme, and renews.");
  const bool chosen = m.read("self_signed", self_signed, Boolean{},
                             "A certificate that the gateway makes itself; browsers warn of it.");
  m.read("certificate_file", host.certificate_file, File{files},
         "PEM file: the certificate, then those between it and the root.");
  m.read("key_file", host.key_file, File{files}, "PEM file of the certificate's key.");
  m.read("min_version", host.min_version, Choice<TlsVersion>{{{"1.2", TlsVersion::tls12}, {"1.3", TlsVersion::tls13}}},
         "Least version of TLS.");
  m.read("hsts", host.hsts, DurationOrOff{.most = std::chrono::hours(2 * 365 * 24)},
         "For how long browsers are to use TLS alone: max-age of Strict-Transport-Security. 0s: to forget it.");
  m.read("client_ca_file", host.client_ca_file, File{files},
         "PEM file of the authorities that sign the clients' certificates.");
  m.read("client_crl_file", host.client_crl_file, File{files},
         "PEM file of the authorities' lists of revoked certificates.");
  m.read("client_auth", host.client_auth,
         Choice<ClientAuth>{
             {{"off", ClientAuth::off}, {"optional", ClientAuth::optional}, {"required", ClientAuth::required}}},
         "Whether clients must show a certificate. Default with client_ca_file: required.");
  const bool has_certificate = m.has("certificate_file");
  const bool has_key = m.has("key_file");
  if (m.has("acme") && (has_certificate || has_key || m.has("self_signed"))) {
    m.error("acme", "a host has one certificate: acme, certificate_file and self_signed exclude each other");
  } else if (has_certificate != has_key) {
    m.error(has_certificate ? "certificate_file" : "key_file",
            fmt::format("certificate_file and key_file belong together: '{}' is missing",
                        has_certificate ? "key_file" : "certificate_file"));
  } else if (has_certificate && self_signed) {
    m.error("self_signed", "self_signed: true and certificate_file exclude each other");
  } else if (chosen && !self_signed && !has_certificate) {
    m.error("self_signed", "self_signed: false needs certificate_file and key_file");
  } else if (!has_certificate && !m.has("self_signed") && !m.has("acme")) {
    m.warning_at(m.at(), std::string(kSelfSignedNotice));
  }
  host.tls = has_certificate ? HostTls::files : m.has("acme") ? HostTls::acme : HostTls::self_signed;
  if (m.has("client_ca_file") && !m.has("client_auth")) host.client_auth = ClientAuth::required;
  if (host.client_auth != ClientAuth::off && !m.has("client_ca_file"))
    m.error("client_auth", "client_auth needs client_ca_file, against which to check");
  if (m.has("client_crl_file") && host.client_auth == ClientAuth::off)
    m.error("client_crl_file", "client_crl_file is for clients' certificates: it needs client_ca_file");
}

/// off, or a mapping.
struct HostTlsKind {
  const Platform& platform;

  [[nodiscard]] auto keys() const {
    return object<Host>([this](Mapping& m, Host& host) { read_tls_keys(m, host, platform); });
  }
  bool read(Source& source, const Node& node, Host& out) const {
    if (node.kind != Node::Kind::scalar) return keys().read(source, node, out);
    if (node.text != "off" && (node.text != "false" || node.quoted)) {
      source.error(
          node.at,
          fmt::format(
              "{} is not known here; write off, {{acme: NAME}}, {{self_signed: true}} or {{certificate_file: FILE, "
              "key_file: FILE}}",
              cite(node.text)));
      return false;
    }
    out.tls = HostTls::off;
    return true;
  }
  [[nodiscard]] JsonObject schema() const {
    JsonObject schema;
    schema.add("anyOf", json_array({R"({"enum":["off",false]})", keys().schema().to_string()}));
    return schema;
  }
};

// The CA that holds where gateway.yaml names none is not.
bool is_written(const AcmeAuthority& authority) { return authority.place.line > 0; }

// Whether the CA is there and can issue for the name.
void check_authority(Mapping& m, const Host& host, const GatewayConfig& gateway) {
  const auto found = std::ranges::find(gateway.acme, host.authority, &AcmeAuthority::name);
  if (found == gateway.acme.end()) {
    if (!host.authority.empty() && !gateway.acme_unclear)
      m.error("tls", fmt::format("gateway.yaml has no acme.{}{}", host.authority,
                                 gateway.acme.empty() || !is_written(gateway.acme.front())
                                     ? ": add it there, or name certificate files"
                                     : "; it has " + gateway.acme.front().name));
    return;
  }
  // Of those that gateway.yaml writes, this is told there.
  if (!is_written(*found) && std::ranges::none_of(gateway.listeners, [](const Listener& listener) {
        return listener.protocol == ListenerProtocol::http;
      }))
    m.warning("tls",
              "http-01 is answered on listeners with protocol: http, and gateway.yaml has none: add one, or "
              "acme.default with challenge: tls-alpn-01");
  if (host.name == "*")
    m.error("tls", "no CA issues a certificate for every name: name certificate files, or self_signed: true");
  else if (is_address(host.name) && found->challenge == AcmeChallenge::dns_01)
    m.error("tls", fmt::format("an address cannot be shown to be ours by dns-01 (RFC 8738 section 7): name a CA with "
                               "challenge: http-01 or tls-alpn-01 instead of acme.{}",
                               host.authority));
  const auto needs_dns = [&](const AcmeAuthority& authority) {
    if (host.name.starts_with("*.") && !authority.dns)
      m.error("tls", fmt::format("wildcards need dns-01: acme.{} has no 'dns'", authority.name));
  };
  needs_dns(*found);
  const auto rehearsal = std::ranges::find(gateway.acme, found->rehearsal, &AcmeAuthority::name);
  if (rehearsal != gateway.acme.end()) needs_dns(*rehearsal);
}

void read_host(Mapping& m, Host& host, const Platform& platform) {
  m.require("name", host.name, host_pattern_text(),
            "A host name, \"*.example.de\" for exactly one label before it, or \"*\" for whatever no tenant claims. "
            "International names may be written as such.");
  host.place = m.place(m.at("name"));
  m.read("tls", host, HostTlsKind{platform},
         "Its certificate; off serves the host on http listeners without a redirect.");
  if (m.describing()) return;
  if (!m.has("tls")) m.warning_at(m.at("name"), std::string(kSelfSignedNotice));
  if (host.tls == HostTls::acme) check_authority(m, host, platform.gateway);
  const auto wanted = host.tls == HostTls::off ? ListenerProtocol::http : ListenerProtocol::https;
  const auto& listeners = platform.gateway.listeners;
  if (std::ranges::none_of(listeners, [=](const Listener& l) { return l.protocol == wanted; })) {
    m.warning_at(m.at(m.has("tls") ? "tls" : "name"),
                 fmt::format("this host is not served: gateway.yaml has no listener with protocol: {}",
                             wanted == ListenerProtocol::http ? "http" : "https"));
  }
}

}  // namespace

void read_hosts(Mapping& m, TenantConfig& tenant, const Platform& platform) {
  std::vector<Host> named;
  const auto read = [&](Mapping& inner, Host& host) {
    read_host(inner, host, platform);
    if (!host.name.empty()) named.push_back(host);
  };
  if (!m.require("hosts", tenant.hosts, list_of(object<Host>(read), 1, 1'000),
                 "The hosts that are this tenant's; each belongs to one tenant.")) {
    // What is wrong with a host does not make it another tenant's.
    for (Host& host : named)
      host.unclear = std::ranges::none_of(tenant.hosts, [&](const Host& good) {
        return good.place.line == host.place.line && good.place.column == host.place.column;
      });
    tenant.hosts = std::move(named);
  }
  std::unordered_map<std::string_view, int> lines;
  for (const Host& host : tenant.hosts) {
    const auto [first, is_new] = lines.try_emplace(host.name, host.place.line);
    if (!is_new)
      m.error_at({host.place.line, host.place.column},
                 fmt::format("the host {} is given twice, first in line {}", cite(host.name), first->second));
  }
}

}  // namespace gatehouse::config
