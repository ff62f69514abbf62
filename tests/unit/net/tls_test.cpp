// TLS contexts from PEM texts.
#include "gateway/net/tls.hpp"

#include <gmock/gmock.h>

namespace gatehouse::net {
namespace {

using ::testing::HasSubstr;

class Tls : public testing::Test {
 protected:
  Tls() {
    server_.client_auth = config::ClientAuth::required;
    server_.client_ca_pem = authority_;
  }
  std::string server_error() const {
    const auto made = ServerTls::create(server_);
    return made ? "" : made.error();
  }
  static std::string client_error(const ClientTls::Settings& settings) {
    const auto made = ClientTls::create(settings);
    return made ? "" : made.error();
  }
  static std::string damaged(std::string pem) {
    pem[pem.size() / 2] = '!';
    return pem;
  }
  static std::string cut(const std::string& pem) { return pem.substr(0, pem.size() / 2); }

  ServerTlsSettings server_ = make_self_signed({"shop.test"});
  std::string authority_ = make_self_signed({"ca.test"}).certificate_pem;
};

TEST_F(Tls, TakesSeveralAuthoritiesAndTextBetweenThem) {
  EXPECT_EQ(server_error(), "");
  server_.client_ca_pem = "first\n" + authority_ + "second\n" + server_.certificate_pem + "\nend\n";
  EXPECT_EQ(server_error(), "");
  EXPECT_EQ(client_error({.ca_pem = server_.client_ca_pem}), "");
}

// Those behind it would silently not be trusted.
TEST_F(Tls, RefusesADamagedAuthorityAfterAGoodOne) {
  for (const std::string& bad : {damaged(authority_), cut(authority_)}) {
    server_.client_ca_pem = authority_ + bad;
    EXPECT_THAT(server_error(), HasSubstr("client_ca_file is damaged"));
    EXPECT_THAT(client_error({.ca_pem = authority_ + bad}), HasSubstr("ca_file is damaged"));
  }
}

TEST_F(Tls, RefusesAuthoritiesThatAreNone) {
  server_.client_ca_pem = "";
  EXPECT_THAT(server_error(), HasSubstr("client_ca_file holds no PEM certificate"));
  EXPECT_THAT(client_error({.ca_pem = ""}), HasSubstr("ca_file holds no PEM certificate"));  // not the system's CAs
}

TEST_F(Tls, RefusesADamagedChainAndAnothersKey) {
  server_.certificate_pem += cut(authority_);
  EXPECT_THAT(server_error(), HasSubstr("the certificate chain is damaged"));
  server_.certificate_pem = authority_;
  EXPECT_THAT(server_error(), HasSubstr("the private key does not belong to the certificate"));
}

TEST_F(Tls, TakesAClientCertificate) {
  const ClientTls::Settings good{.certificate_pem = server_.certificate_pem, .key_pem = server_.key_pem};
  EXPECT_EQ(client_error(good), "");
  EXPECT_THAT(client_error({.certificate_pem = authority_, .key_pem = server_.key_pem}),
              HasSubstr("the client certificate: the private key does not belong"));
  EXPECT_THAT(client_error({.certificate_pem = ""}), HasSubstr("the client certificate: "));  // not none
}

}  // namespace
}  // namespace gatehouse::net
