// acme/private_key.hpp: the key of RFC 7515 appendix A.3, and what is made with keys, read back by OpenSSL.
#include "acme/private_key.hpp"

#include <gmock/gmock.h>
#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "acme/base64url.hpp"
#include "pki.hpp"

namespace gatehouse::acme::test {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr const char* key_of_rfc7515 =
    "-----BEGIN EC PRIVATE KEY-----\n"
    "MHcCAQEEII6bEJ5xkJi/mASH3x9dd+nLKWBuvtImO19XwhPfhPSyoAoGCCqGSM49\n"
    "AwEHoUQDQgAEf83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEXH8UTNG72b\n"
    "focs3+257rn0s2ldbqkLJK2KRiMohYjlrQ==\n"
    "-----END EC PRIVATE KEY-----\n";

const PrivateKey& p256() {
  static const PrivateKey key = PrivateKey::generate(KeyType::ecdsa_p256);
  return key;
}

std::string encrypted(const PrivateKey& key) {
  const std::unique_ptr<BIO, Freed<BIO_free_all>> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(bio.get(), key.handle(), EVP_aes_256_cbc(), "open sesame", 11, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

TEST(PrivateKey, WritesTheJwkAndThumbprintOfRfc7515sKey) {
  const auto key = PrivateKey::from_pem(key_of_rfc7515);
  ASSERT_TRUE(key) << key.error();
  EXPECT_TRUE(key->is_p256());
  EXPECT_EQ(key->public_jwk(), R"({"crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",)"
                               R"("y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"})");
  EXPECT_EQ(key->thumbprint(), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
}

TEST(PrivateKey, SignsWhatOpensslVerifies) {
  const PublicKey key = key_of_jwk(nlohmann::json::parse(p256().public_jwk()));
  ASSERT_TRUE(key);
  // Often enough that numbers with leading zeros come up: they are padded to 32 bytes.
  for (int i = 0; i < 600; ++i) {
    const std::string message = "message " + std::to_string(i), signature = p256().sign_es256(message);
    ASSERT_EQ(signature.size(), 64u);
    ASSERT_TRUE(verify_es256(key.get(), message, signature));
    ASSERT_FALSE(verify_es256(key.get(), message + " ", signature));
  }
}

TEST(PrivateKey, IsTheSameAfterPem) {
  for (const KeyType type : {KeyType::ecdsa_p256, KeyType::rsa_2048}) {
    const PrivateKey key = PrivateKey::generate(type);
    const Secret pem = key.to_pem();
    EXPECT_THAT(std::string(pem.reveal()), StartsWith("-----BEGIN PRIVATE KEY-----\n"));
    const auto again = PrivateKey::from_pem(pem.reveal());
    ASSERT_TRUE(again);
    EXPECT_EQ(EVP_PKEY_eq(key.handle(), again->handle()), 1);
    EXPECT_EQ(again->is_p256(), type == KeyType::ecdsa_p256);
  }
}

TEST(PrivateKey, OfAnotherCurveIsNotP256) {
  const PublicKey p384(EVP_EC_gen("P-384"));
  const std::unique_ptr<BIO, Freed<BIO_free_all>> bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PKCS8PrivateKey(bio.get(), p384.get(), nullptr, nullptr, 0, nullptr, nullptr);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  const auto key = PrivateKey::from_pem({data, static_cast<std::size_t>(size)});
  ASSERT_TRUE(key);
  EXPECT_FALSE(key->is_p256());
}

TEST(PrivateKey, RefusesAnEncryptedKeyAndShowsNothingOfIt) {
  const std::string pem = encrypted(p256());
  const auto key = PrivateKey::from_pem(pem);
  ASSERT_FALSE(key);
  EXPECT_THAT(key.error(), HasSubstr("must not be encrypted"));
  EXPECT_THAT(key.error(), Not(HasSubstr(pem.substr(40, 8))));
}

TEST(PrivateKey, RefusesABrokenKeyAndShowsNothingOfIt) {
  const std::string pem = key_of_rfc7515;
  const std::string body = pem.substr(pem.find('\n') + 1, 64);
  for (std::size_t cut = 33; cut + 34 < pem.size(); cut += 7) {
    std::string broken = pem;
    broken.erase(cut, 5);
    const auto key = PrivateKey::from_pem(broken);
    ASSERT_FALSE(key) << cut;
    for (std::size_t at = 0; at + 8 <= body.size(); ++at) ASSERT_THAT(key.error(), Not(HasSubstr(body.substr(at, 8))));
  }
}

TEST(PrivateKey, SaysWhereThereIsNone) {
  for (const std::string_view pem :
       {std::string_view(), std::string_view(""), std::string_view("key"),
        std::string_view("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        std::string_view("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")}) {
    const auto key = PrivateKey::from_pem(pem);
    ASSERT_FALSE(key);
    EXPECT_EQ(key.error(), "there is no private key in PEM form") << pem;
  }
}

TEST(PrivateKey, RefusesAFileThatIsTooLargeForAKey) {
  EXPECT_FALSE(PrivateKey::from_pem(std::string(1 << 20, ' ') + key_of_rfc7515));
}

TEST(PrivateKey, ReadsAKeyAfterItsParameters) {
  const std::string pem =
      "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + std::string(key_of_rfc7515);
  EXPECT_TRUE(PrivateKey::from_pem(pem));
}

TEST(PrivateKey, ReadsAKeyBehindADamagedCertificate) {
  // OpenSSL takes its first line for a header, and reads what follows in an old way.
  const auto key = PrivateKey::from_pem(
      "-----BEGIN CERTIFICATE-----\nAAAA-----END CERTIFICATE-----\n\nAAAA\n-----END CERTIFICATE-----\n" +
      std::string(key_of_rfc7515));
  ASSERT_TRUE(key);
  EXPECT_EQ(key->public_jwk(), PrivateKey::from_pem(key_of_rfc7515).value().public_jwk());
}

TEST(CertificateRequest, CarriesAllNamesAndNoSubject) {
  const Identifiers names = {{Identifier::Type::dns, "example.com"},
                             {Identifier::Type::dns, "*.example.com"},
                             {Identifier::Type::dns, std::string(63, 'a') + "." + std::string(63, 'b') + ".example"},
                             {Identifier::Type::ip, "192.0.2.7"},
                             {Identifier::Type::ip, "2001:db8::1"}};
  for (const KeyType type : {KeyType::ecdsa_p256, KeyType::rsa_2048}) {
    const PrivateKey key = PrivateKey::generate(type);
    const auto request = read_request(key.certificate_request(names));
    ASSERT_TRUE(request);
    EXPECT_EQ(request->names, names);
    EXPECT_TRUE(request->is_critical);
    EXPECT_FALSE(request->has_subject);
    EXPECT_EQ(EVP_PKEY_eq(request->key.get(), key.handle()), 1);
  }
}

TEST(CertificateRequest, RefusesAnAddressThatIsNone) {
  EXPECT_THROW(static_cast<void>(p256().certificate_request({{Identifier::Type::ip, "192.0.2"}})),
               std::invalid_argument);
}

/// The one acmeIdentifier of a certificate: whether it is critical, and its bytes.
std::pair<bool, std::string> acme_identifier(X509* certificate) {
  const std::unique_ptr<ASN1_OBJECT, Freed<ASN1_OBJECT_free>> type(OBJ_txt2obj("1.3.6.1.5.5.7.1.31", 1));
  const int at = X509_get_ext_by_OBJ(certificate, type.get(), -1);
  if (at < 0 || X509_get_ext_by_OBJ(certificate, type.get(), at) >= 0) return {};
  X509_EXTENSION* const extension = X509_get_ext(certificate, at);
  const ASN1_OCTET_STRING* const data = X509_EXTENSION_get_data(extension);
  return {
      X509_EXTENSION_get_critical(extension) == 1,
      {reinterpret_cast<const char*>(ASN1_STRING_get0_data(data)), static_cast<std::size_t>(ASN1_STRING_length(data))}};
}

TEST(ChallengeCertificate, HasTheCriticalIdentifierAndTheOneName) {
  for (const Identifier& name :
       {Identifier{Identifier::Type::dns, "example.com"}, Identifier{Identifier::Type::ip, "192.0.2.7"},
        Identifier{Identifier::Type::ip, "2001:db8::1"}}) {
    const X509Owner certificate = first_certificate(p256().challenge_certificate(name, "token.thumbprint"));
    ASSERT_TRUE(certificate);
    EXPECT_EQ(acme_identifier(certificate.get()), std::pair(true, "\x04\x20" + sha256("token.thumbprint")));
    EXPECT_EQ(X509_verify(certificate.get(), p256().handle()), 1);
    EXPECT_LT(X509_cmp_current_time(X509_get0_notBefore(certificate.get())), 0);
    EXPECT_GT(X509_cmp_current_time(X509_get0_notAfter(certificate.get())), 0);
    const std::unique_ptr<GENERAL_NAMES, Freed<GENERAL_NAMES_free>> names(
        static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate.get(), NID_subject_alt_name, nullptr, nullptr)));
    ASSERT_EQ(sk_GENERAL_NAME_num(names.get()), 1);
    const bool is_host = name.type == Identifier::Type::dns;
    EXPECT_EQ(sk_GENERAL_NAME_value(names.get(), 0)->type, is_host ? GEN_DNS : GEN_IPADD);
    EXPECT_EQ((is_host ? X509_check_host(certificate.get(), name.value.c_str(), 0, 0, nullptr)
                       : X509_check_ip_asc(certificate.get(), name.value.c_str(), 0)),
              1);
  }
}

TEST(Digest, IsSha256AndItsHmac) {
  EXPECT_EQ(base64url(sha256("abc")), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
  // RFC 4231 section 4.3
  EXPECT_EQ(hmac_sha256("Jefe", "what do ya want for nothing?"),
            std::string("\x5b\xdc\xc1\x46\xbf\x60\x75\x4e\x6a\x04\x24\x26\x08\x95\x75\xc7"
                        "\x5a\x00\x3f\x08\x9d\x27\x39\x83\x9d\xec\x58\xb9\x64\xec\x38\x43",
                        32));
}

TEST(Secret, IsGoneFromWhereItWasMoved) {
  Secret first(std::string(40, 's'));
  Secret second = std::move(first);
  EXPECT_TRUE(first.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(second.reveal(), std::string(40, 's'));
  first = std::move(second);
  EXPECT_TRUE(second.empty());  // NOLINT(bugprone-use-after-move)
  EXPECT_EQ(first.reveal().size(), 40u);
}

TEST(PrivateKey, KnowsItsKind) {
  for (const KeyType type : {KeyType::ecdsa_p256, KeyType::rsa_2048, KeyType::rsa_3072})
    EXPECT_EQ(PrivateKey::from_pem(PrivateKey::generate(type).to_pem().reveal()).value().type(), type);
}

}  // namespace
}  // namespace gatehouse::acme::test
