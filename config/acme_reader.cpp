// See acme_reader.hpp.
#include "config/acme_reader.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>

#include "config/kinds.hpp"
#include "config/text.hpp"

namespace gatehouse::config {
namespace {

using namespace std::chrono_literals;

bool is_printable(std::string_view text) {
  return std::ranges::all_of(text, [](char c) { return c > ' ' && c <= '~'; });
}

Parsed<std::string> directory_url(std::string_view text) {
  const bool is_https = text.starts_with("https://");
  const std::string_view rest = text.substr(is_https ? 8 : std::min<std::size_t>(text.size(), 7));
  const std::string_view authority = rest.substr(0, rest.find('/'));
  if (!is_printable(text) || text.find_first_of("#\"<>\\") != std::string_view::npos || authority.empty() ||
      authority.find('@') != std::string_view::npos)
    return std::unexpected("is no URL as a CA gives it, https://host/path");
  const bool is_local =
      text.starts_with("http://") &&
      (authority.starts_with("127.") || authority.starts_with("[::1]") || authority.starts_with("localhost"));
  if (!is_https && !is_local) return std::unexpected("must begin with https://");
  return std::string(text);
}

Parsed<std::string> service_url(std::string_view text) {
  if (text.find('?') != std::string_view::npos)
    return std::unexpected("has a query; /present and /cleanup are added to it");
  auto url = directory_url(text);
  while (url && url->ends_with('/')) url->pop_back();
  return url;
}

// RFC 7617 section 2: the user's name ends at the first colon.
Parsed<std::string> user_name(std::string_view text) {
  if (!is_printable(text) || text.find(':') != std::string_view::npos)
    return std::unexpected("has a colon or characters that are not printable ASCII");
  return std::string(text);
}

Parsed<std::string> email(std::string_view text) {
  const std::size_t at = text.find('@');
  if (!is_printable(text) || at == 0 || at == std::string_view::npos || at + 1 == text.size() ||
      text.find('@', at + 1) != std::string_view::npos || text.find_first_of(",;?&<>\"") != std::string_view::npos)
    return std::unexpected("is no address of one mailbox");
  return std::string(text);
}

Parsed<std::string> dns_name(std::string_view text) {
  std::string name = to_lower(text);
  if (name.ends_with('.')) name.pop_back();
  std::size_t label = 0;
  for (const char c : name) {
    if (c == '.') {
      if (label == 0) return std::unexpected("has an empty label");
      label = 0;
      continue;
    }
    const bool is_good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
    if (!is_good || ++label > 63) return std::unexpected("is no DNS name");
  }
  if (name.empty() || label == 0) return std::unexpected("is no DNS name");
  return name;
}

Parsed<std::string> plain_words(std::string_view text) {
  if (std::ranges::any_of(text, [](char c) { return c < ' ' || c > '~'; }))
    return std::unexpected("has characters outside of ASCII");
  return std::string(text);
}

void read_binding(Mapping& m, AcmeAuthority& authority, const FileRules& files) {
  m.require("key_id", authority.eab_key_id, Text{"the CA's name for the key", plain_words, 500},
            "The key's identifier, as the CA gives it.");
  m.require("mac_key_file", authority.eab_key_file, File{files},
            "File that holds the key, base64url on its first line, as the CA gives it.");
  m.refuse("mac_key", "a key does not belong here: write it into a file of its own and name that as mac_key_file");
}

void read_webhook(Mapping& m, DnsWebhook& webhook, const FileRules& files) {
  m.require("url", webhook.url, Text{"a URL", service_url, 2'000},
            "{\"fqdn\": NAME, \"value\": TEXT} is POSTed to URL/present and URL/cleanup (lego's httpreq).");
  m.read("user", webhook.user, Text{"a user's name", user_name, 200}, "For HTTP's basic authentication.");
  m.read("password_file", webhook.password_file, File{files}, "File whose first line is the user's password.");
  m.refuse("password",
           "a password does not belong here: write it into a file of its own and name that as password_file");
  m.read("ca_file", webhook.ca_file, File{files},
         "PEM file of the authorities that the service is verified against; without it those of the system.");
  if (!m.describing() && m.has("user") != m.has("password_file"))
    m.error(m.has("user") ? "user" : "password_file", "user and password_file belong together");
}

void read_dns(Mapping& m, DnsUpdates& dns, const FileRules& files) {
  constexpr std::array<std::string_view, 4> of_server{"server", "zone", "key_name", "secret_file"};
  m.read("server", dns.server, Address{}, "The zone's primary name server, which takes dynamic updates (RFC 2136).");
  m.read("zone", dns.zone, Text{"a DNS name", dns_name}, "The zone that _acme-challenge records are added to.");
  m.read("key_name", dns.key_name, Text{"a DNS name", dns_name}, "Name of the TSIG key (HMAC-SHA-256).");
  m.read("secret_file", dns.secret_file, File{files}, "File that holds the key's secret, base64 on its first line.");
  m.read("webhook", dns.webhook,
         object<DnsWebhook>([&](Mapping& inner, DnsWebhook& out) { read_webhook(inner, out, files); }),
         "In the place of a name server: a service that writes the records.");
  if (!m.describing()) {
    for (const std::string_view key : of_server) {
      if (m.has("webhook") && m.has(key))
        m.error(key,
                fmt::format("records are written by a name server or by a service: '{}' and 'webhook' exclude each "
                            "other",
                            key));
      else if (!m.has("webhook") && !m.has(key))
        m.error_at(m.at(), fmt::format("'{}' is missing here: name 'server', 'zone', 'key_name' and 'secret_file', or "
                                       "'webhook'",
                                       key));
    }
  }
  m.read("propagation", dns.propagation, Duration{0ms, 1h},
         "From an update until all name servers of the zone answer with it.");
}

}  // namespace

AcmeAuthority usual_authority() {
  AcmeAuthority authority;
  authority.name = kUsualAuthority;
  authority.directory = "https://acme-v02.api.letsencrypt.org/directory";
  return authority;
}

void read_authority(Mapping& m, AcmeAuthority& authority, const FileRules& files) {
  authority.place = m.place(m.at());
  const Text url{"a URL", directory_url, 2'000};
  constexpr std::string_view description = "URL of the CA's directory.";
  if (authority.name == kUsualAuthority) {
    authority.directory = usual_authority().directory;
    m.read("directory", authority.directory, url, description);
  } else {
    m.require("directory", authority.directory, url, description);
  }
  m.read("email", authority.email, Text{"a mail address", email, 254}, "Whom the CA may write to.");
  m.read("ca_file", authority.ca_file, File{files},
         "PEM file of the authorities that the CA's own server is verified against; without it those of the system.");
  m.read("eab", authority,
         object<AcmeAuthority>([&](Mapping& inner, AcmeAuthority& out) { read_binding(inner, out, files); }),
         "External account binding (RFC 8555 section 7.3.4), for CAs that want it.");
  m.read("profile", authority.profile, Text{"a profile's name", plain_words, 100},
         "Kind of certificate, one of those that the CA offers; without it the CA's own choice.");
  m.read("preferred_chain", authority.preferred_chain, Text{"a common name", plain_words, 200},
         "Common name of the chain's top issuer, where the CA offers several.");
  m.read("challenge", authority.challenge,
         Choice<AcmeChallenge>{{{"http-01", AcmeChallenge::http_01},
                                {"tls-alpn-01", AcmeChallenge::tls_alpn_01},
                                {"dns-01", AcmeChallenge::dns_01}}},
         "How a host is shown to be ours: on port 80, on port 443 or in the DNS. Wildcards always by dns-01.");
  using KeyOption = Choice<CertificateKey>::Option;
  const std::vector<KeyOption> rsa_types{{"rsa_2048", CertificateKey::rsa_2048},
                                         {"rsa_3072", CertificateKey::rsa_3072},
                                         {"rsa_4096", CertificateKey::rsa_4096}};
  std::vector<KeyOption> types{{"ecdsa_p256", CertificateKey::ecdsa_p256}};
  types.insert(types.end(), rsa_types.begin(), rsa_types.end());
  m.read("key_type", authority.key_type, Choice<CertificateKey>{types}, "Kind of the certificates' keys.");
  m.read("second_key_type", authority.second_key_type, Choice<CertificateKey>{rsa_types},
         "A second certificate of each host, with an RSA key, for clients that know nothing else.");
  if (authority.second_key_type && authority.key_type != CertificateKey::ecdsa_p256)
    m.error("second_key_type",
            "the second certificate is for clients that do not know the first one's kind of key: "
            "key_type is to be ecdsa_p256");
  m.read("dns", authority.dns,
         object<DnsUpdates>([&](Mapping& inner, DnsUpdates& out) { read_dns(inner, out, files); }),
         "Where dns-01 writes its records.");
  m.read(
      "rehearsal", authority.rehearsal, name_text("a CA's name"),
      "Another CA of this list, for tests, that issues first for a host that has no certificate of this one's, so that "
      "mistakes do not use up this one's limits.");
  m.read("fallback", authority.fallback, name_text("a CA's name"),
         "Another CA of this list, which is asked while this one is away.");
  if (!m.describing() && authority.challenge == AcmeChallenge::dns_01 && !m.has("dns"))
    m.error("challenge", "dns-01 needs 'dns', the server that records are written to");
}

void read_storage(Mapping& m, Storage& storage, const FileRules& files) {
  m.read("file", storage.directory, File{files, false}, "Folder of this machine, mode 0700.");
  struct stat status{};
  if (m.has("file") && files.looks() && ::stat(storage.directory.c_str(), &status) == 0 && !S_ISDIR(status.st_mode))
    m.error("file", "a folder is expected here, and this is a file");
  m.read("redis", storage, object<Storage>([&](Mapping& inner, Storage& out) {
           inner.require("encryption_key_file", out.encryption_key_file, File{files},
                         "File that holds the key, base64 of 32 bytes on one line (openssl rand -base64 32).");
         }),
         "In the top-level redis, encrypted: for gateways that are one fleet.");
  m.unavailable("kubernetes", "use storage: {redis: {encryption_key_file: FILE}} or {file: FOLDER}");
  if (m.has("file") && m.has("redis")) m.error("redis", "there is one storage: 'file' and 'redis' exclude each other");
}

void check_acme(Mapping& m, const GatewayConfig& config) {
  for (const AcmeAuthority& authority : config.acme) {
    const auto check_other = [&](std::string_view key, const std::string& name, std::string_view itself) {
      if (name.empty()) return;
      const auto found = std::ranges::find(config.acme, name, &AcmeAuthority::name);
      if (found == config.acme.end())
        m.error_at(m.name_at("acme", authority.name), fmt::format("{}: there is no acme.{}", key, name));
      else if (found->name == authority.name || found->directory == authority.directory)
        m.error_at(m.name_at("acme", authority.name), fmt::format("{}: a CA cannot {} itself", key, itself));
    };
    check_other("fallback", authority.fallback, "stand in for");
    check_other("rehearsal", authority.rehearsal, "rehearse for");
    if (!authority.rehearsal.empty() && authority.rehearsal == authority.fallback)
      m.error_at(
          m.name_at("acme", authority.name),
          fmt::format("what acme.{} issues is not served as a rehearsal and served as the fallback's: name two CAs",
                      authority.rehearsal));
  }
  if (!config.storage.encryption_key_file.empty() && !config.redis && !config.redis_unclear)
    m.error("storage", "storage.redis uses the top-level 'redis', which is missing: add redis: {url: ...}");
  const bool has_http = std::ranges::any_of(
      config.listeners, [](const Listener& listener) { return listener.protocol == ListenerProtocol::http; });
  for (const AcmeAuthority& authority : config.acme)
    if (m.has("acme") && authority.challenge == AcmeChallenge::http_01 && !has_http)
      m.warning_at(
          m.name_at("acme", authority.name),
          "http-01 is answered on listeners with protocol: http, and there is none: take challenge: tls-alpn-01");
}

}  // namespace gatehouse::config
