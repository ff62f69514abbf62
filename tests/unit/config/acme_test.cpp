// `acme` and `storage` of gateway.yaml, and `tls: {acme: NAME}` of tenants.
#include <fmt/format.h>

#include "support.hpp"

namespace gatehouse::config::test {
namespace {

using namespace std::chrono_literals;

constexpr const char* ca = "acme: {default: {directory: \"https://ca.example/dir\"}}\n";

TEST(Acme, ReadsEveryKey) {
  const TemporaryFolder folder;
  const std::string file = folder.write("secret", "x\n");
  const GatewayConfig config = good_gateway(
      "acme:\n  default:\n    directory: https://ca.example/dir\n    email: ops@example.de\n    ca_file: " + file +
      "\n    eab: {key_id: kid, mac_key_file: " + file +
      "}\n    profile: tlsserver\n    preferred_chain: Root X\n    challenge: dns-01\n    key_type: rsa_3072\n    dns: "
      "{server: "
      "\"192.0.2.53:53\", zone: Example.de., key_name: gatehouse, secret_file: " +
      file + ", propagation: 30s}\n    fallback: other\n  other: {directory: \"http://127.0.0.1:14000/dir\"}\n");
  ASSERT_EQ(config.acme.size(), 2U);
  const AcmeAuthority& authority = config.acme[0];
  EXPECT_EQ(authority.name, "default");
  EXPECT_EQ(authority.directory, "https://ca.example/dir");
  EXPECT_EQ(authority.email, "ops@example.de");
  EXPECT_EQ(authority.ca_file, file);
  EXPECT_EQ(authority.eab_key_id, "kid");
  EXPECT_EQ(authority.eab_key_file, file);
  EXPECT_EQ(authority.profile, "tlsserver");
  EXPECT_EQ(authority.preferred_chain, "Root X");
  EXPECT_EQ(authority.challenge, AcmeChallenge::dns_01);
  EXPECT_EQ(authority.key_type, CertificateKey::rsa_3072);
  ASSERT_TRUE(authority.dns);
  EXPECT_EQ(authority.dns->server.to_string(), "192.0.2.53:53");
  EXPECT_EQ(authority.dns->zone, "example.de");
  EXPECT_EQ(authority.dns->propagation, 30s);
  EXPECT_EQ(authority.fallback, "other");
  EXPECT_EQ(config.acme[1].challenge, AcmeChallenge::http_01);
}

TEST(Acme, RefusesWhatCannotBe) {
  const auto with = [](const std::string& keys) {
    return "acme: {default: {directory: \"https://ca.example/dir\", " + keys + "}}";
  };
  EXPECT_THAT(gateway_problems("acme: {other: {}}"), ElementsAre(error_at("1:15", "'directory'")));
  EXPECT_THAT(gateway_problems("acme: {default: {directory: \"http://ca.example/dir\"}}"),
              ElementsAre(error_at("1:29", "must begin with https://")));
  EXPECT_THAT(gateway_problems("acme: {default: {directory: \"https://me@ca.example/dir\"}}"),
              ElementsAre(error_at("1:29", "no URL")));
  EXPECT_THAT(gateway_problems(with("email: \"a@b, c@d\"")), ElementsAre(error_at("1:62", "one mailbox")));
  EXPECT_THAT(gateway_problems(with("challenge: dns-01")), ElementsAre(error_at("1:66", "needs 'dns'")));
  EXPECT_THAT(gateway_problems(with("challenge: dns-02")), ElementsAre(error_at("1:66", "dns-01")));
  EXPECT_THAT(gateway_problems(with("fallback: other")), ElementsAre(error_at("1:8", "there is no acme.other")));
  EXPECT_THAT(gateway_problems(with("fallback: default")), ElementsAre(error_at("1:8", "stand in for itself")));
  EXPECT_THAT(gateway_problems(with("rehearsal: other")), ElementsAre(error_at("1:8", "there is no acme.other")));
  EXPECT_THAT(gateway_problems(with("rehearsal: default")), ElementsAre(error_at("1:8", "rehearse for itself")));
  EXPECT_THAT(
      gateway_problems("acme: {default: {directory: \"https://ca.example/dir\", rehearsal: other, fallback: other}, "
                       "other: {directory: \"https://other.example/dir\"}}"),
      ElementsAre(error_at("1:8", "name two CAs")));
  EXPECT_THAT(gateway_problems(with("second_key_type: ecdsa_p256")), ElementsAre(error_at("1:72", "rsa_2048")));
  EXPECT_THAT(gateway_problems(with("key_type: rsa_2048, second_key_type: rsa_3072")),
              ElementsAre(error_at("1:92", "is to be ecdsa_p256")));
  EXPECT_THAT(gateway_problems(with("eab: {key_id: a, mac_key: b}")),
              ::testing::Contains(error_at("1:72", "mac_key_file")));
}

TEST(Acme, ReadsAWebhook) {
  const TemporaryFolder folder;
  const std::string file = folder.write("password", "x\n");
  const auto with = [&](const std::string& keys) {
    return "acme: {default: {directory: \"https://ca.example/dir\", second_key_type: rsa_2048, dns: {" + keys + "}}}";
  };
  const GatewayConfig config =
      good_gateway(with("propagation: 1m, webhook: {url: \"https://hook.example/dns/\", user: me, "
                        "password_file: " +
                        file + ", ca_file: " + file + "}"));
  const AcmeAuthority& authority = config.acme.front();
  EXPECT_EQ(authority.second_key_type, CertificateKey::rsa_2048);
  ASSERT_TRUE(authority.dns && authority.dns->webhook);
  EXPECT_EQ(authority.dns->propagation, 1min);
  EXPECT_EQ(authority.dns->webhook->url, "https://hook.example/dns");
  EXPECT_EQ(authority.dns->webhook->user, "me");
  EXPECT_EQ(authority.dns->webhook->password_file, file);
  EXPECT_EQ(authority.dns->webhook->ca_file, file);

  EXPECT_THAT(gateway_problems(with("webhook: {url: \"http://hook.example\"}")),
              ElementsAre(error_at("1:103", "must begin with https://")));
  EXPECT_THAT(gateway_problems(with("webhook: {url: \"https://hook.example?a=b\"}")),
              ElementsAre(error_at("1:103", "has a query")));
  EXPECT_THAT(gateway_problems(with("webhook: {url: \"https://hook.example\", user: me}")),
              ElementsAre(error_at("1:133", "belong together")));
  EXPECT_THAT(
      gateway_problems(with("webhook: {url: \"https://hook.example\", user: \"a:b\", password_file: " + file + "}")),
      ElementsAre(error_at("1:133", "colon")));
  EXPECT_THAT(gateway_problems(with("webhook: {url: \"https://hook.example\", password: b}")),
              ElementsAre(error_at("1:127", "password_file")));
  EXPECT_THAT(gateway_problems(with("zone: example.de, webhook: {url: \"https://hook.example\"}")),
              ElementsAre(error_at("1:94", "exclude each other")));
  EXPECT_THAT(gateway_problems(with("zone: example.de")).size(), 3U) << "server, key_name, secret_file";
}

TEST(Acme, WarnsWhereHttp01CannotBeAnswered) {
  EXPECT_THAT(gateway_problems(std::string(ca) + "listeners: [{address: \"[::]:8443\", protocol: https}]"),
              ElementsAre(warning_at("1:8", "tls-alpn-01")));
}

TEST(Storage, IsAFolderOrRedis) {
  const TemporaryFolder folder;
  const std::string key = folder.write("key", "x\n");
  EXPECT_EQ(good_gateway("storage: {file: /srv/state}").storage.directory, "/srv/state");
  EXPECT_THAT(gateway_problems("storage: {file: " + key + "}"), ElementsAre(error_at("1:17", "a folder is expected")));
  EXPECT_EQ(good_gateway("redis: {url: \"redis://h\"}\nstorage: {redis: {encryption_key_file: " + key + "}}")
                .storage.encryption_key_file,
            key);
  EXPECT_THAT(gateway_problems("storage: {redis: {encryption_key_file: " + key + "}}"),
              ElementsAre(error_at("1:10", "top-level 'redis'")));
  EXPECT_THAT(
      gateway_problems("redis: {url: \"redis://h\"}\nstorage: {file: /srv, redis: {encryption_key_file: " + key + "}}"),
      ElementsAre(error_at("2:30", "exclude each other")));
  EXPECT_THAT(gateway_problems("redis: {url: \"redis://h\"}\nstorage: {redis: {}}"),
              ElementsAre(error_at("2:18", "'encryption_key_file'")));
}

TEST(HostTlsByAcme, NamesAnAuthority) {
  const GatewayConfig gateway = gateway_with("redis: {url: \"redis://h\"}\n" + std::string(ca));
  const auto host = [](const std::string& name, const std::string& tls) {
    return "hosts: [{name: \"" + name + "\", tls: {" + tls + "}}]";
  };
  const TenantConfig tenant = good_tenant(host("shop.example", "acme: default"), gateway);
  ASSERT_EQ(tenant.hosts.size(), 1U);
  EXPECT_EQ(tenant.hosts[0].tls, HostTls::acme);
  EXPECT_EQ(tenant.hosts[0].authority, "default");
  EXPECT_THAT(tenant_problems(host("shop.example", "acme: other"), gateway),
              ElementsAre(error_at("2:37", "no acme.other; it has default")));
  EXPECT_THAT(tenant_problems(host("shop.example", "acme: default, self_signed: true"), gateway),
              ElementsAre(error_at("2:44", "exclude each other")));
  EXPECT_THAT(tenant_problems(host("*.shop.example", "acme: default"), gateway),
              ElementsAre(error_at("2:39", "wildcards need dns-01")));
  EXPECT_THAT(tenant_problems(host("*", "acme: default"), gateway), ElementsAre(error_at("2:26", "no CA issues")));
}

TEST(HostTlsByAcme, HasLetsEncryptWhereGatewayYamlNamesNone) {
  const std::string directory = "https://acme-v02.api.letsencrypt.org/directory";
  const std::string host = "hosts: [{name: shop.example, tls: {acme: default}}]";
  const std::string redis = "redis: {url: \"redis://h\"}\n";
  const GatewayConfig none = good_gateway(redis);
  ASSERT_EQ(none.acme.size(), 1U);
  EXPECT_EQ(none.acme[0].name, "default");
  EXPECT_EQ(none.acme[0].directory, directory);
  EXPECT_EQ(good_tenant(host, none).hosts[0].authority, "default");
  EXPECT_THAT(tenant_problems("hosts: [{name: shop.example, tls: {acme: other}}]", none),
              ElementsAre(error_at("2:35", "no acme.other: add it there")));

  const GatewayConfig mail = good_gateway(redis + "acme: {default: {email: ops@example.de}}");
  ASSERT_EQ(mail.acme.size(), 1U);
  EXPECT_EQ(mail.acme[0].directory, directory);
  EXPECT_EQ(mail.acme[0].email, "ops@example.de");

  const GatewayConfig other = good_gateway(redis + "acme: {other: {directory: \"https://ca.example/dir\"}}");
  ASSERT_EQ(other.acme.size(), 1U);
  EXPECT_THAT(tenant_problems(host, other), ElementsAre(error_at("2:35", "no acme.default; it has other")));

  const std::string https = "listeners: [{address: \"[::]:443\", protocol: https}]\n";
  EXPECT_THAT(tenant_problems(host, good_gateway(redis + https)), ElementsAre(warning_at("2:35", "http-01")));
}

TEST(HostTlsByAcme, IsForAddressesToo) {
  const TemporaryFolder folder;
  const std::string file = folder.write("secret", "x\n");
  const GatewayConfig gateway = gateway_with(
      "acme: {web: {directory: \"https://ca.example/dir\"}, dns: {directory: \"https://ca.example/dir\", challenge: "
      "dns-01, dns: "
      "{server: \"192.0.2.53:53\", zone: example.de, key_name: gatehouse, secret_file: " +
      file + "}}}\n");
  const auto host = [](const std::string& name, const std::string& authority) {
    return "hosts: [{name: \"" + name + "\", tls: {acme: " + authority + "}}]";
  };
  for (const char* const address : {"192.0.2.7", "[2001:db8::7]"}) {
    EXPECT_EQ(good_tenant(host(address, "web"), gateway).hosts[0].name, address);
    EXPECT_THAT(tenant_problems(host(address, "dns"), gateway),
                ElementsAre(error_at(fmt::format("2:{}", 25 + std::string(address).size()), "RFC 8738")));
  }
}

}  // namespace
}  // namespace gatehouse::config::test
