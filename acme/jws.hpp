// Signed requests: flattened JSON Web Signatures as ACME wants them (RFC 8555 section 6.2, RFC 7515 section 7.2.2).
#pragma once

#include <string>
#include <string_view>

#include "acme/private_key.hpp"

namespace gatehouse::acme {

/// Media type of every request with a body.
constexpr std::string_view jose_type = "application/jose+json";

/// Signed by an account's key, which the CA knows as the URL `account`; with an empty one the public key goes along (for
/// newAccount, and a revocation with the certificate's key). An empty `payload` is POST-as-GET (section 6.3).
[[nodiscard]] std::string signed_request(const PrivateKey& key, std::string_view account, std::string_view nonce,
                                         std::string_view url, std::string_view payload);

/// The externalAccountBinding of a new account (section 7.3.4): its public key under the MAC that the CA handed out.
[[nodiscard]] std::string external_account_binding(const PrivateKey& account_key, std::string_view mac_key_id,
                                                   const Secret& mac_key, std::string_view new_account_url);

/// The payload of a key change: what the new key signs (section 7.3.5).
[[nodiscard]] std::string key_change(const PrivateKey& old_key, const PrivateKey& new_key, std::string_view account,
                                     std::string_view key_change_url);

/// What answers a challenge: the token and the account key's thumbprint (section 8.1).
[[nodiscard]] std::string key_authorization(std::string_view token, const PrivateKey& account_key);

}  // namespace gatehouse::acme
