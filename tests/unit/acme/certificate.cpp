// acme/certificate.hpp: chains that the test issues itself, and what is none.
#include "acme/certificate.hpp"

#include <gmock/gmock.h>

#include "pki.hpp"

namespace gatehouse::acme::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Identifier example = {Identifier::Type::dns, "example.com"};

class Certificates : public ::testing::Test {
 protected:
  std::string leaf(const Leaf& leaf) const { return intermediate_.issue(key_.handle(), leaf); }

  Issuer root_{"Root of the Tests"}, intermediate_{"Intermediate of the Tests"};
  PrivateKey key_ = PrivateKey::generate(KeyType::ecdsa_p256);
};

TEST_F(Certificates, TellNamesTimesAndIssuers) {
  const auto facts = read_chain(leaf({.names = {{Identifier::Type::dns, "WWW.example.com"},
                                                {Identifier::Type::ip, "2001:db8::1"},
                                                {Identifier::Type::dns, "*.example.com"},
                                                {Identifier::Type::ip, "192.0.2.7"}}}) +
                                root_.issue(intermediate_));
  ASSERT_TRUE(facts) << facts.error();
  EXPECT_THAT(facts->names, ElementsAre(Identifier{Identifier::Type::dns, "*.example.com"},
                                        Identifier{Identifier::Type::dns, "www.example.com"},
                                        Identifier{Identifier::Type::ip, "192.0.2.7"},
                                        Identifier{Identifier::Type::ip, "2001:db8::1"}));
  EXPECT_EQ(facts->not_before, some_time);
  EXPECT_EQ(facts->lifetime(), std::chrono::hours(160));
  EXPECT_EQ(facts->issuer, "Intermediate of the Tests");
  EXPECT_EQ(facts->top_issuer, "Root of the Tests");
  EXPECT_EQ(facts->serial, "0087654321");
}

TEST_F(Certificates, AreNamedForRenewalAsInRfc9773) {
  Leaf named{.names = {example}};
  named.authority_key = "\x69\x88\x5B\x6B\x87\x46\x40\x41\xE1\xB3\x7B\x84\x7B\xA0\xAE\x2C\xDE\x01\xC8\xD4";
  const auto facts = read_chain(leaf(named));
  ASSERT_TRUE(facts);
  EXPECT_EQ(facts->renewal_id, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE");
}

TEST_F(Certificates, HaveNoLeadingZeroWhereTheSerialNeedsNone) {
  Leaf named{.names = {example}};
  named.authority_key = "x";
  named.serial = "\x07\x65";
  EXPECT_EQ(read_chain(leaf(named)).value().renewal_id, "eA.B2U");
  named.serial = "";
  EXPECT_EQ(read_chain(leaf(named)).value().renewal_id, "eA.AA");
}

TEST_F(Certificates, HaveNoRenewalIdWithoutAnAuthorityKey) {
  EXPECT_EQ(read_chain(leaf({.names = {example}})).value().renewal_id, "");
}

TEST_F(Certificates, NeedANameAndALifetime) {
  EXPECT_THAT(read_chain(leaf({})).error(), HasSubstr("no name"));
  Leaf past{.names = {example}};
  past.not_after = past.not_before;
  EXPECT_THAT(read_chain(leaf(past)).error(), HasSubstr("validity"));
}

TEST_F(Certificates, ReachBeyondTheYear2050) {
  Leaf late{.names = {example}};
  late.not_after = std::chrono::sys_days(std::chrono::year(2226) / 1 / 1);
  EXPECT_EQ(read_chain(leaf(late)).value().not_after, late.not_after);
}

TEST_F(Certificates, MayHaveCommentsBetweenThemButNoBrokenPart) {
  const std::string good = leaf({.names = {example}});
  EXPECT_TRUE(read_chain("subject: a leaf\n\n" + good + "\nthe next\n" + root_.issue(intermediate_)));
  std::string broken = root_.issue(intermediate_);
  broken.replace(broken.find("MII"), 3, "AAA");
  EXPECT_FALSE(read_chain(good + broken));
  EXPECT_FALSE(read_chain(good + good.substr(0, good.size() / 2)));
}

// RFC 8555 section 9.1: a CA could have us serve a key of its own.
TEST_F(Certificates, AreWithoutBlocksOfAnythingElse) {
  const std::string good = leaf({.names = {example}});
  const std::string key(PrivateKey::generate(KeyType::ecdsa_p256).to_pem().reveal());
  EXPECT_FALSE(read_chain(key + good));
  EXPECT_FALSE(read_chain("some text\n" + key + good + root_.issue(intermediate_)));
  EXPECT_FALSE(read_chain(good + key));
  for (const char* const name : {"TRUSTED CERTIFICATE", "X509 CERTIFICATE", "CERTIFICATE REQUEST", "X509 CRL", ""})
    EXPECT_FALSE(read_chain(good + "-----BEGIN " + name + "-----\nMAA=\n-----END " + name + "-----\n")) << name;
}

TEST_F(Certificates, AreAtMostTenAndAHundredKib) {
  const std::string one = leaf({.names = {example}});
  std::string chain;
  for (int i = 0; i < 10; ++i) chain += one;
  EXPECT_TRUE(read_chain(chain));
  EXPECT_FALSE(read_chain(chain + one));
  EXPECT_TRUE(read_chain(one + std::string(100 * 1024 - one.size(), '\n')));
  EXPECT_FALSE(read_chain(one + std::string(100 * 1024 - one.size() + 1, '\n')));
}

TEST(ReadChain, RefusesWhatIsNone) {
  const Secret key = PrivateKey::generate(KeyType::ecdsa_p256).to_pem();
  for (const std::string_view pem :
       {std::string_view(), std::string_view(""), std::string_view("<html>"), key.reveal(),
        std::string_view("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"),
        std::string_view("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n")}) {
    EXPECT_FALSE(read_chain(pem)) << pem;
    EXPECT_EQ(leaf_der(pem), "");
  }
}

TEST_F(Certificates, AreForTheirKeyAlone) {
  const std::string chain = leaf({.names = {example}}) + root_.issue(intermediate_);
  EXPECT_TRUE(is_for_key(chain, key_));
  EXPECT_FALSE(is_for_key(chain, PrivateKey::generate(KeyType::ecdsa_p256)));
  EXPECT_FALSE(is_for_key(chain, PrivateKey::generate(KeyType::rsa_2048)));
  EXPECT_FALSE(is_for_key("", key_));
}

TEST_F(Certificates, GiveTheirLeafInDer) {
  const std::string chain = leaf({.names = {example}}) + root_.issue(intermediate_);
  const std::string der = leaf_der(chain);
  const X509Owner expected = first_certificate(chain);
  const unsigned char* at = reinterpret_cast<const unsigned char*>(der.data());
  const X509Owner read(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  ASSERT_TRUE(read);
  EXPECT_EQ(X509_cmp(read.get(), expected.get()), 0);
}

}  // namespace
}  // namespace gatehouse::acme::test
