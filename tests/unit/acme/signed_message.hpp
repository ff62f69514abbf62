// Flattened JSON Web Signatures read and verified, as a CA does. Used by the tests of acme/jws.hpp and by FakeCa.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "acme/base64url.hpp"
#include "pki.hpp"

namespace gatehouse::acme::test {

struct SignedMessage {
  nlohmann::json header;
  std::string payload;
  std::string signing_input, signature;

  /// By a key that is given as a JWK (ES256).
  [[nodiscard]] bool is_signed_by(const nlohmann::json& jwk) const {
    const PublicKey key = key_of_jwk(jwk);
    return key && verify_es256(key.get(), signing_input, signature);
  }
};

/// std::nullopt for what is no flattened JWS of exactly its three members.
[[nodiscard]] inline std::optional<SignedMessage> read_signed(std::string_view text) {
  const auto jws = nlohmann::json::parse(text, nullptr, false);
  if (!jws.is_object() || jws.size() != 3) return std::nullopt;
  for (const char* const name : {"protected", "payload", "signature"})
    if (!jws.contains(name) || !jws[name].is_string()) return std::nullopt;
  const std::string header = jws["protected"], payload = jws["payload"];
  const auto header_bytes = from_base64url(header), payload_bytes = from_base64url(payload),
             signature = from_base64url(jws["signature"].get<std::string>());
  if (!header_bytes || !payload_bytes || !signature) return std::nullopt;
  SignedMessage message{nlohmann::json::parse(*header_bytes, nullptr, false), *payload_bytes, header + "." + payload,
                        *signature};
  if (!message.header.is_object()) return std::nullopt;
  return message;
}

}  // namespace gatehouse::acme::test
