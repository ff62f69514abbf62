// What is stored for a fleet's certificates, as JSON in a storage's items. What cannot be read is told, never guessed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "acme/certificate.hpp"
#include "acme/flow.hpp"

namespace gatehouse::acme {

/// Of one CA; the item is "account/" and the base64url of the directory URL's SHA-256.
struct AccountRecord {
  Secret key;       // PEM
  std::string url;  // empty: not registered yet
  Secret next_key;  // while a roll-over is under way
};

/// One of a host's certificates: the first one, or the one with another kind of key beside it.
struct CertificateName {
  Identifier host;
  bool is_second = false;

  [[nodiscard]] std::string item() const;  // of the storage; the second one's ends in "+2", which no host does
  [[nodiscard]] static CertificateName of_item(std::string_view item);
  auto operator<=>(const CertificateName&) const = default;
};

/// Stored as CertificateName::item().
struct CertificateRecord {
  std::string chain;  // PEM; empty: none yet
  Secret key;         // PEM
  std::optional<CertificateFacts> facts;  // of the chain: kept, since reading ten thousand chains takes seconds
  std::string authority;  // directory URL of the CA that issued it
  std::string key_type, profile;  // that it was asked for with
  std::string rehearsed;  // directory URL of the CA for which another has shown that its challenges are answered
  Time renew_at{};   // when the next one is ordered
  Time issued_at{};  // when the CA gave it; 0: it came otherwise, or before this was kept
  Time ask_at{};     // when the CA is asked for renewal information again
  std::uint64_t window = 0;  // hash of the renewal window that renew_at was drawn from; 0: none

  std::optional<Progress> progress;  // of an order under way
  std::string progress_authority;
  unsigned failures = 0;  // in a row
  Time next_attempt{};    // after a failure
  std::string last_error;
  Time last_error_at{};

  bool renew_now = false;  // somebody has asked for it
  std::optional<int> revoke;  // reason code: it is to be revoked, and replaced
};

[[nodiscard]] std::string account_item(std::string_view directory_url);
inline constexpr std::string_view challenges_item = "challenges";
inline constexpr std::string_view certificate_prefix = "certificate/";

[[nodiscard]] std::string write_account(const AccountRecord& record);
[[nodiscard]] std::optional<AccountRecord> read_account(std::string_view text);
[[nodiscard]] std::string write_certificate(const CertificateRecord& record);
[[nodiscard]] std::optional<CertificateRecord> read_certificate(std::string_view text);
[[nodiscard]] std::string write_challenges(const std::vector<Presentation>& presentations);
[[nodiscard]] std::optional<std::vector<Presentation>> read_challenges(std::string_view text);

}  // namespace gatehouse::acme
