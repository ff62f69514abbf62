// Certificates, requests and public keys of the tests' own, by OpenSSL. Used by everything in this folder that needs a CA.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "acme/identifier.hpp"
#include "acme/private_key.hpp"
#include "acme/timestamp.hpp"

namespace gatehouse::acme::test {

template <auto free>
struct Freed {
  template <class T>
  void operator()(T* object) const noexcept {
    free(object);
  }
};
using PublicKey = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;
using X509Owner = std::unique_ptr<X509, Freed<X509_free>>;

constexpr Time some_time{Seconds(1'796'000'000)};  // in November of 2026

/// What an issuer writes into a certificate.
struct Leaf {
  Identifiers names;
  std::string serial = std::string("\x00\x87\x65\x43\x21", 5);  // bytes of a positive number
  std::string authority_key;  // keyIdentifier's bytes; empty: no such extension
  Time not_before = some_time;
  Time not_after = some_time + std::chrono::hours(160);
  std::string subject;  // common name; empty: none
};

/// A key that signs certificates.
class Issuer {
 public:
  explicit Issuer(std::string common_name)
      : name_(std::move(common_name)), key_(PrivateKey::generate(KeyType::ecdsa_p256)) {}

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  /// In PEM.
  [[nodiscard]] std::string issue(EVP_PKEY* subject_key, const Leaf& leaf) const;
  /// Of another issuer, in PEM.
  [[nodiscard]] std::string issue(const Issuer& other) const;

 private:
  std::string name_;
  PrivateKey key_;
};

/// A certificate request as a CA reads it.
struct ReadRequest {
  PublicKey key;
  Identifiers names;  // of subjectAltName, in their order
  bool is_critical = false;
  bool has_subject = false;
};
/// std::nullopt where it is none, or not signed by its own key.
[[nodiscard]] std::optional<ReadRequest> read_request(std::string_view der);

/// The public key of a P-256 JWK; empty where it is none.
[[nodiscard]] PublicKey key_of_jwk(const nlohmann::json& jwk);
/// RFC 7638, over the three members that count.
[[nodiscard]] std::string thumbprint_of_jwk(const nlohmann::json& jwk);

/// Whether `signature` (R and S) is the key's over the message.
[[nodiscard]] bool verify_es256(EVP_PKEY* key, std::string_view message, std::string_view signature);

[[nodiscard]] X509Owner first_certificate(std::string_view pem);

}  // namespace gatehouse::acme::test
