// An ACME client (RFC 8555) as flows: accounts, orders, revocation, renewal information. Used by whoever drives the
// certificates of the gateway; what it wants goes through a Conversation.
#pragma once

#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "acme/flow.hpp"
#include "acme/messages.hpp"
#include "acme/private_key.hpp"
#include "acme/problem.hpp"

namespace gatehouse::acme {

template <class T>
using Result = std::expected<T, Problem>;

struct ExternalAccount {
  std::string key_id;
  Secret mac_key;  // the bytes
};

struct OrderRequest {
  Identifiers identifiers;
  ChallengeType challenge = ChallengeType::http_01;  // dns-01 is taken for wildcards, whatever this says
  std::string profile;          // empty: the CA's default
  std::string replaces;         // renewal id of the predecessor; empty: none
  std::string preferred_chain;  // common name of the issuer at the chain's top; empty: the CA's default
  KeyType key_type = KeyType::ecdsa_p256;
};

struct Issued {
  std::string chain;  // PEM, leaf first
  Secret key;         // PEM
};

struct Renewal {
  RenewalInfo info;
  std::optional<Time> ask_again;  // Retry-After
};

/// One CA, asked with one account. It serves one flow at a time. All arguments outlive it and its flows.
class Client {
 public:
  Client(Conversation& conversation, std::string directory_url)
      : conversation_(conversation), directory_url_(std::move(directory_url)) {}

  /// Which account speaks. The key is P-256.
  void use_account(const PrivateKey& key, std::string url) {
    key_ = &key;
    account_ = std::move(url);
  }

  /// The directory, fetched where it has not been (section 7.1.1).
  [[nodiscard]] Flow<Result<Done>> open();
  [[nodiscard]] const Directory& directory() const noexcept { return directory_; }

  /// Finds or makes the account of the key and gives its URL (sections 7.3 and 7.3.1). The terms of service are agreed to:
  /// whoever configures a CA has done so. `contacts`: mailto: URLs.
  [[nodiscard]] Flow<Result<std::string>> register_account(std::vector<std::string> contacts,
                                                           const ExternalAccount* external);
  /// Gives the account another key, which is used from then on (section 7.3.5).
  [[nodiscard]] Flow<Result<Done>> change_key(const PrivateKey& new_key);

  /// An order from its placing to the chain (section 7.4), or from where somebody else left it.
  [[nodiscard]] Flow<Result<Issued>> obtain(OrderRequest request, std::optional<Progress> resumed);

  /// With the account's key, or the certificate's where that is given and P-256 (section 7.6). `reason`: of RFC 5280
  /// section 5.3.1.
  [[nodiscard]] Flow<Result<Done>> revoke(std::string leaf_der, int reason, const PrivateKey* certificate_key);

  /// std::nullopt in the result where the CA offers none (RFC 9773 section 4.1).
  [[nodiscard]] Flow<Result<std::optional<Renewal>>> renewal_info(std::string renewal_id);

 private:
  // Signs, sends, and again with another nonce where that was refused. `repeats`: what may come twice is sent again when
  // the CA is away for a moment. A status that is not of success is a problem.
  enum class Repeat : unsigned char { never, when_lost };
  [[nodiscard]] Flow<Result<HttpResponse>> post(std::string url, std::string payload, Repeat repeat);
  [[nodiscard]] Flow<Result<HttpResponse>> post_as(const PrivateKey& key, std::string account, std::string url,
                                                   std::string payload, Repeat repeat);
  [[nodiscard]] Flow<Result<std::string>> nonce();
  [[nodiscard]] Flow<Result<Order>> order_at(std::string url);
  [[nodiscard]] Flow<Result<Done>> authorize(const Order& order, const Identifiers& ordered, ChallengeType wanted);
  [[nodiscard]] Flow<Result<Done>> tell(std::string challenge, std::string authorization);
  [[nodiscard]] Flow<Result<Done>> await_authorization(std::string url, Time deadline);
  [[nodiscard]] Flow<Result<std::string>> download(std::string url, std::string preferred_chain);

  Conversation& conversation_;
  const std::string directory_url_;
  bool is_open_ = false;
  Directory directory_;
  const PrivateKey* key_ = nullptr;
  std::string account_;
  std::vector<std::string> nonces_;  // unused
};

}  // namespace gatehouse::acme
