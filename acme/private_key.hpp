// Private keys of accounts and certificates, by OpenSSL. What is secret stays in OpenSSL's secure heap where the process
// has set one up, and in Secret strings, which are wiped. Called by everything in acme/ that signs.
#pragma once

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "acme/identifier.hpp"

struct evp_pkey_st;

namespace gatehouse::acme {

/// Text that is overwritten when it is no longer needed. Not for printing.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) noexcept : text_(std::move(text)) {}
  Secret(Secret&& other) noexcept : text_(std::exchange(other.text_, {})) {}
  Secret& operator=(Secret&& other) noexcept;
  Secret(const Secret&) = default;
  Secret& operator=(const Secret&) = delete;
  ~Secret();
  [[nodiscard]] std::string_view reveal() const noexcept { return text_; }
  [[nodiscard]] bool empty() const noexcept { return text_.empty(); }

 private:
  std::string text_;
};

enum class KeyType : std::uint8_t { ecdsa_p256, rsa_2048, rsa_3072, rsa_4096 };
[[nodiscard]] std::string name_of(KeyType type);

class PrivateKey {
 public:
  /// Throws std::bad_alloc, or std::runtime_error where there is no randomness.
  [[nodiscard]] static PrivateKey generate(KeyType type);
  /// From PKCS#8, SEC 1 or PKCS#1, not encrypted. The error names what is wrong, and nothing of the key.
  [[nodiscard]] static std::expected<PrivateKey, std::string> from_pem(std::string_view pem);

  [[nodiscard]] Secret to_pem() const;  // PKCS#8
  /// std::nullopt where it is none of ours, as imported ones may be.
  [[nodiscard]] std::optional<KeyType> type() const noexcept;
  [[nodiscard]] bool is_rsa() const noexcept;
  [[nodiscard]] bool is_p256() const noexcept;
  [[nodiscard]] evp_pkey_st* handle() const noexcept { return key_.get(); }

  // --- for accounts: P-256 alone, as ES256 needs (RFC 7518 section 3.4)

  /// R and S, 32 bytes each.
  [[nodiscard]] std::string sign_es256(std::string_view message) const;
  /// The public key as a JSON Web Key, members in the order that thumbprints are made of (RFC 7638 section 3).
  [[nodiscard]] std::string public_jwk() const;
  /// base64url of the JWK's SHA-256.
  [[nodiscard]] std::string thumbprint() const;

  // --- for certificates

  /// A certificate request in DER for the names, which go into subjectAltName alone; the subject is empty, and no name
  /// is too long for it (RFC 8555 section 7.4).
  [[nodiscard]] std::string certificate_request(const Identifiers& names) const;
  /// A self-signed certificate in PEM that answers tls-alpn-01 (RFC 8737 section 3): subjectAltName is the one identifier,
  /// the critical acmeIdentifier is SHA-256 of `key_authorization`.
  [[nodiscard]] std::string challenge_certificate(const Identifier& name, std::string_view key_authorization) const;

 private:
  struct Free {
    void operator()(evp_pkey_st* key) const noexcept;
  };
  explicit PrivateKey(evp_pkey_st* key) noexcept : key_(key) {}
  std::unique_ptr<evp_pkey_st, Free> key_;
};

[[nodiscard]] std::string sha256(std::string_view bytes);
/// HMAC with SHA-256 (RFC 2104), for external account binding and TSIG.
[[nodiscard]] std::string hmac_sha256(std::string_view key, std::string_view message);

}  // namespace gatehouse::acme
