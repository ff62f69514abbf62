// Certificates as the CA's answers bring them: read, checked against what was asked for, and named for renewal.
#pragma once

#include <expected>
#include <string>
#include <string_view>

#include "acme/identifier.hpp"
#include "acme/private_key.hpp"
#include "acme/timestamp.hpp"

namespace gatehouse::acme {

struct CertificateFacts {
  Time not_before, not_after;
  Identifiers names;       // of subjectAltName: DNS names and addresses, sorted
  std::string issuer;      // common name of the leaf's issuer, or its whole name
  std::string top_issuer;  // the same of the chain's last certificate
  std::string serial;      // hexadecimal
  std::string
      renewal_id;  // base64url(AKI keyIdentifier) "." base64url(serial) (RFC 9773 section 4.1); empty without AKI

  [[nodiscard]] Seconds lifetime() const noexcept { return not_after - not_before; }
};

/// The leaf of a chain in PEM (RFC 8555 section 9.1): at most 10 certificates, 100 KiB. The error says what is wrong.
[[nodiscard]] std::expected<CertificateFacts, std::string> read_chain(std::string_view pem);

/// Whether the leaf is for this key.
[[nodiscard]] bool is_for_key(std::string_view chain_pem, const PrivateKey& key);

/// The leaf in DER, for a revocation; empty where there is none.
[[nodiscard]] std::string leaf_der(std::string_view chain_pem);

}  // namespace gatehouse::acme
