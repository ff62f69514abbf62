// The ACME client but for orders, which are in order.cpp; see client.hpp.
#include "acme/client.hpp"

#include <algorithm>

#include "acme/base64url.hpp"
#include "acme/json.hpp"
#include "acme/jws.hpp"

namespace gatehouse::acme {

namespace {

constexpr int most_nonce_attempts = 10;  // a CA that refuses every fifth nonce is served all the same
constexpr int most_attempts = 4;         // of what may be repeated while the CA is away
constexpr std::size_t most_nonces = 8;
constexpr Seconds first_pause = Seconds(2);
constexpr Seconds longest_pause = std::chrono::minutes(1);

bool is_nonce(std::string_view nonce) noexcept {
  return !nonce.empty() && nonce.size() <= 256 &&
         nonce.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
             std::string_view::npos;  // section 6.5.1
}

bool is_away(int status) noexcept { return status == 502 || status == 503 || status == 504; }

// Nothing that ACME asks for is answered by a redirection.
bool is_success(int status) noexcept { return status >= 200 && status < 300; }

std::unexpected<Problem> of_the_service(Problem problem) {
  problem.is_of_the_service = true;
  return std::unexpected(std::move(problem));
}

Problem refusal(const HttpResponse& response, Time now) {
  Problem problem = parse_problem(response.body, response.status);
  problem.retry_at = from_retry_after(response.retry_after, now);
  return problem;
}

}  // namespace

// --- requests

Flow<Result<Done>> Client::open() {
  if (is_open_) co_return Done{};
  auto response = co_await conversation_.send({HttpRequest::Method::get, directory_url_, {}});
  if (!response) co_return of_the_service(no_answer(std::move(response.error())));
  if (response->status != 200) co_return of_the_service(refusal(*response, conversation_.now()));
  auto directory = parse_directory(response->body);
  if (!directory) co_return of_the_service(not_acme("an ACME directory; look at the directory's URL"));
  directory_ = *std::move(directory);
  is_open_ = true;
  co_return Done{};
}

Flow<Result<std::string>> Client::nonce() {
  if (!nonces_.empty()) {
    std::string last = std::move(nonces_.back());
    nonces_.pop_back();
    co_return last;
  }
  auto response = co_await conversation_.send({HttpRequest::Method::head, directory_.new_nonce, {}});
  if (!response) co_return of_the_service(no_answer(std::move(response.error())));
  if (!is_success(response->status)) co_return of_the_service(refusal(*response, conversation_.now()));
  if (!is_nonce(response->nonce)) co_return of_the_service(not_acme("a nonce"));
  co_return std::move(response->nonce);
}

Flow<Result<HttpResponse>> Client::post(std::string url, std::string payload, Repeat repeat) {
  co_return co_await post_as(*key_, account_, std::move(url), std::move(payload), repeat);
}

Flow<Result<HttpResponse>> Client::post_as(const PrivateKey& key, std::string account, std::string url,
                                           std::string payload, Repeat repeat) {
  int nonce_attempts = 0;
  for (int attempt = 1;;) {
    auto fresh = co_await nonce();
    std::optional<Problem> problem;
    if (!fresh) {
      problem = std::move(fresh.error());  // nothing was asked yet: it may be repeated whatever it is
      if (problem->type != ProblemType::no_answer && !is_away(problem->status)) co_return std::unexpected(*problem);
    } else {
      auto response = co_await conversation_.send(
          {HttpRequest::Method::post, url, signed_request(key, account, *fresh, url, payload)});
      if (!response) {
        problem = no_answer(std::move(response.error()));
        if (repeat == Repeat::never) co_return std::unexpected(*std::move(problem));
      } else {
        if (is_nonce(response->nonce) && nonces_.size() < most_nonces) nonces_.push_back(response->nonce);
        if (is_success(response->status)) co_return *std::move(response);
        problem = refusal(*response, conversation_.now());
        if (problem->type == ProblemType::bad_nonce && ++nonce_attempts < most_nonce_attempts) continue;
        if (!is_away(response->status) || repeat == Repeat::never) co_return std::unexpected(*std::move(problem));
      }
    }
    if (attempt == most_attempts) co_return std::unexpected(*std::move(problem));
    const Time now = conversation_.now();
    if (problem->retry_at > now + longest_pause)
      co_return std::unexpected(*std::move(problem));  // for longer than a moment
    const Time again = std::max(now + first_pause * (1 << (attempt - 1)), problem->retry_at.value_or(now));
    ++attempt;
    co_await conversation_.wait_until(again);
  }
}

// --- accounts

Flow<Result<std::string>> Client::register_account(std::vector<std::string> contacts, const ExternalAccount* external) {
  if (auto opened = co_await open(); !opened) co_return std::unexpected(std::move(opened.error()));
  if (directory_.wants_external_account && external == nullptr) {
    Problem problem;
    problem.type = ProblemType::external_account_required;
    co_return std::unexpected(std::move(problem));
  }
  Json payload = {{"termsOfServiceAgreed", true}};
  if (!contacts.empty()) payload["contact"] = contacts;
  if (external != nullptr)
    payload["externalAccountBinding"] =
        Json::parse(external_account_binding(*key_, external->key_id, external->mac_key, directory_.new_account));
  // A second time it finds the account that the first has made.
  auto response = co_await post_as(*key_, {}, directory_.new_account, payload.dump(), Repeat::when_lost);
  if (!response) co_return of_the_service(std::move(response.error()));
  if (!is_usable_url(response->location)) co_return of_the_service(not_acme("an account with its URL"));
  account_ = response->location;
  co_return account_;
}

Flow<Result<Done>> Client::change_key(const PrivateKey& new_key) {
  if (auto opened = co_await open(); !opened) co_return std::unexpected(std::move(opened.error()));
  if (directory_.key_change.empty()) co_return std::unexpected(no_answer("the CA offers no change of keys"));
  const auto response = co_await post(directory_.key_change,
                                      acme::key_change(*key_, new_key, account_, directory_.key_change), Repeat::never);
  if (!response) co_return std::unexpected(response.error());
  key_ = &new_key;
  co_return Done{};
}

// --- certificates

Flow<Result<Done>> Client::revoke(std::string leaf_der, int reason, const PrivateKey* certificate_key) {
  if (auto opened = co_await open(); !opened) co_return std::unexpected(std::move(opened.error()));
  if (directory_.revoke_certificate.empty()) co_return std::unexpected(no_answer("the CA offers no revocation"));
  if (certificate_key != nullptr && !certificate_key->is_p256()) {
    Problem problem;
    problem.detail = "only P-256 keys can revoke their certificates here; revoke with the account";
    co_return std::unexpected(std::move(problem));
  }
  std::string payload = Json{{"certificate", base64url(leaf_der)}, {"reason", reason}}.dump();
  const auto response =
      certificate_key != nullptr
          ? co_await post_as(*certificate_key, {}, directory_.revoke_certificate, std::move(payload), Repeat::when_lost)
          : co_await post(directory_.revoke_certificate, std::move(payload), Repeat::when_lost);
  if (!response && response.error().type != ProblemType::already_revoked) co_return std::unexpected(response.error());
  co_return Done{};
}

Flow<Result<std::optional<Renewal>>> Client::renewal_info(std::string renewal_id) {
  if (auto opened = co_await open(); !opened) co_return std::unexpected(std::move(opened.error()));
  if (directory_.renewal_info.empty() || renewal_id.empty()) co_return std::optional<Renewal>();
  const std::string url = directory_.renewal_info + (directory_.renewal_info.ends_with('/') ? "" : "/") + renewal_id;
  auto response = co_await conversation_.send({HttpRequest::Method::get, url, {}});
  if (!response) co_return std::unexpected(no_answer(std::move(response.error())));
  if (response->status != 200) co_return std::unexpected(refusal(*response, conversation_.now()));
  const auto info = parse_renewal_info(response->body);
  if (!info) co_return std::unexpected(not_acme("renewal information"));
  co_return std::optional<Renewal>(Renewal{*info, from_retry_after(response->retry_after, conversation_.now())});
}

}  // namespace gatehouse::acme
