// A CA in memory (RFC 8555, RFC 9773) for the tests of acme/client.hpp: strict about what it is asked, and unhelpful on
// demand. It has no clock: whoever asks brings the time.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "acme/flow.hpp"
#include "pki.hpp"
#include "signed_message.hpp"

namespace gatehouse::acme::test {

/// How it behaves; may be changed while it runs.
struct Behaviour {
  double refused_nonces = 0;  // probability that a good nonce is refused
  std::optional<std::string> nonce, order_url;  // instead of good ones
  int validation_polls = 0;  // looks at an authorization until it has been validated
  int issuance_polls = 0;  // looks at an order until it has been issued
  int finalize_not_ready = 0;  // how often a finalize comes too soon
  int validation_tries = 1;  // questions to a host until it has failed (RFC 8555 section 8.2)
  bool waits_for_good = false;  // nothing is ever validated
  bool keeps_authorizations = false;  // names that the account has validated need no challenge again
  bool refuses_second_tellings = false;  // of a challenge that is not pending any more
  bool has_renewal_info = true;
  bool has_alternates = false;
  std::optional<Identifier> authorizes;  // another name than the order's
  bool confuses_keys = false;  // certificates are for another key
  bool forgets_a_name = false;  // certificates are for all names but the last
  bool wants_external_account = false;
  std::map<std::string, std::string> profiles;
  std::set<std::string> challenges = {"http-01", "dns-01", "tls-alpn-01"};
  std::string failure = "unauthorized";  // type of a challenge's error
  std::string retry_after;  // of polls
  Seconds lifetime = std::chrono::hours(160);  // of certificates
  Seconds age{};  // of certificates when they are issued
  std::set<std::string> failing;  // names whose orders it has an error of its own with, once they are to be issued
  bool has_only_past_windows = false;  // of renewal information
  bool is_renewal_info_away = false;
  std::string order_limit;  // Retry-After: every order is refused; empty: none is
  std::string order_limit_words;
  bool is_away = false;  // 503 to everything
};

class FakeCa {
 public:
  static constexpr const char* url = "https://ca.test";

  FakeCa();

  [[nodiscard]] std::string directory_url() const { return std::string(url) + "/dir"; }
  HttpResponse answer(const HttpRequest& request, Time now);

  Behaviour behaviour;
  /// What the hosts answer to validations now.
  std::vector<Presentation> presented;
  /// The next request to a path that starts so gets this; with `acts` it is carried out all the same.
  struct Scripted {
    std::string path;
    int status = 503;
    std::string type = "serverInternal";
    std::string retry_after;
    bool acts = false;
    std::string location;
  };
  std::deque<Scripted> script;
  std::map<std::string, Secret> external_accounts;  // key id, MAC key

  // --- what has happened

  /// What no client may do; tests expect none.
  [[nodiscard]] const std::vector<std::string>& complaints() const noexcept { return complaints_; }
  /// Where a test makes a client do so; gives how often it did.
  std::size_t forgive(const std::string& complaint) { return std::erase(complaints_, complaint); }
  /// Requests to paths that start so, whatever became of them.
  [[nodiscard]] int count(std::string_view path) const;
  [[nodiscard]] std::size_t orders() const noexcept { return orders_.size(); }
  [[nodiscard]] const nlohmann::json& last_order() const noexcept { return last_order_; }
  [[nodiscard]] std::size_t accounts() const noexcept { return accounts_.size(); }
  [[nodiscard]] bool is_key_of(const std::string& account, const PrivateKey& key) const;
  [[nodiscard]] const std::map<std::string, int>& revoked() const noexcept { return revoked_; }  // DER, reason
  void forget_orders() { orders_.clear(); }
  void set_orders(const std::string& status);
  struct Failure {
    std::string name;
    Time when;
  };
  [[nodiscard]] const std::vector<Failure>& failed_validations() const noexcept { return failed_validations_; }
  /// Orders that are for a name.
  [[nodiscard]] int orders_of(const std::string& name) const;

 private:
  struct Refusal {
    int status;
    std::string type, detail;
  };
  struct Account {
    nlohmann::json jwk;
  };
  struct Challenge {
    std::string type, token, status = "pending", error;
    int tries = 0;
  };
  struct Authorization {
    std::string account;
    Identifier name;  // without "*."
    bool is_wildcard = false;
    std::string status = "pending";
    int polls = 0;
    std::vector<Challenge> challenges;
  };
  struct Order {
    std::string account, status = "pending";
    Identifiers names;
    std::vector<std::size_t> authorizations;
    int polls = 0;
    std::string chain, alternate;
  };
  struct Asked {  // a verified request
    std::string path, account;
    nlohmann::json jwk;  // of the key that signed
    std::string payload;
    [[nodiscard]] nlohmann::json body() const { return nlohmann::json::parse(payload, nullptr, false); }
  };

  HttpResponse dispatch(const HttpRequest& request, const std::string& path, Time now);
  HttpResponse directory() const;
  Asked verify(const HttpRequest& request, const std::string& path);
  HttpResponse new_account(const Asked& asked);
  HttpResponse new_order(const Asked& asked);
  HttpResponse order(const Asked& asked, Time now);
  HttpResponse authorization(const Asked& asked);
  HttpResponse challenge(const Asked& asked);
  HttpResponse certificate(const Asked& asked);
  HttpResponse revoke(const Asked& asked);
  HttpResponse change_key(const Asked& asked);
  HttpResponse renewal_info(const std::string& path, Time now) const;

  std::size_t authorization_for(const std::string& account, const Identifier& name);
  void validate(Authorization& authorization);
  void refresh(Order& order);
  void issue(Order& order, std::size_t number, std::string_view csr, Time now);
  [[nodiscard]] std::string order_json(const Order& order, std::size_t number) const;
  void external_account(const nlohmann::json& body, const nlohmann::json& jwk);
  HttpResponse complain(const std::string& what);
  std::string random_text();

  std::mt19937_64 random_{42};
  Issuer first_root_{"First Root"}, second_root_{"Second Root"}, intermediate_{"Intermediate"};
  std::set<std::string> nonces_;
  Time now_{};
  std::vector<Failure> failed_validations_;
  struct Window {
    Time start, end;
    std::string der;
  };
  std::map<std::string, Window> windows_;  // by renewal id
  std::map<std::string, Account> accounts_;  // by URL
  std::map<std::size_t, Order> orders_;
  std::size_t last_number_ = 0;
  std::vector<Authorization> authorizations_;
  std::map<std::string, std::pair<std::string, PublicKey>> certificates_;  // DER: account and key
  std::map<std::string, int> revoked_;
  std::set<std::string> replaced_;
  nlohmann::json last_order_;
  std::vector<std::string> asked_, complaints_;
};

}  // namespace gatehouse::acme::test
