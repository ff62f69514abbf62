// The ACME client; see client.hpp.
#include "acme/client.hpp"

#include <algorithm>

#include "acme/base64url.hpp"
#include "acme/certificate.hpp"
#include "acme/json.hpp"
#include "acme/jws.hpp"

namespace gatehouse::acme {

namespace {

constexpr int most_nonce_attempts = 10;  // a CA that refuses every fifth nonce is served all the same
constexpr int most_attempts = 4;         // of what may be repeated while the CA is away
constexpr std::size_t most_nonces = 8;
constexpr std::size_t most_alternates = 8;
constexpr Seconds longest_validation = std::chrono::minutes(10);
constexpr Seconds first_poll = Seconds(1);
constexpr Seconds slowest_poll = Seconds(15);

bool is_nonce(std::string_view nonce) noexcept {
  return !nonce.empty() && nonce.size() <= 256 &&
         nonce.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
             std::string_view::npos;  // section 6.5.1
}

bool is_away(int status) noexcept { return status == 502 || status == 503 || status == 504; }

Problem not_acme(std::string_view what) { return no_answer("what the CA answered is not " + std::string(what)); }

Json identifier_json(const Identifier& identifier) {
  return {{"type", identifier.type == Identifier::Type::dns ? "dns" : "ip"}, {"value", identifier.value}};
}

// Pauses between two looks at something that the CA works on.
class Polling {
 public:
  Polling(Time now, Seconds most) noexcept : deadline_(now + most) {}
  // std::nullopt once it has taken too long.
  std::optional<Time> next(Time now, const std::string& retry_after) noexcept {
    if (now >= deadline_) return std::nullopt;
    const Time usual = now + pause_;
    pause_ = std::min(pause_ * 2, slowest_poll);
    return std::clamp(from_retry_after(retry_after, now).value_or(usual), now + first_poll,
                      std::max(deadline_, now + first_poll));
  }

 private:
  Time deadline_;
  Seconds pause_ = first_poll;
};

}  // namespace

std::string Presentation::dns_value() const { return base64url(sha256(key_authorization)); }

// --- requests

Flow<Result<Done>> Client::open() {
  if (is_open_) co_return Done{};
  auto response = co_await conversation_.send({HttpRequest::Method::get, directory_url_, {}});
  if (!response) co_return std::unexpected(no_answer(std::move(response.error())));
  if (response->status != 200) {
    Problem problem = parse_problem(response->body, response->status);
    problem.retry_at = from_retry_after(response->retry_after, conversation_.now());
    co_return std::unexpected(std::move(problem));
  }
  auto directory = parse_directory(response->body);
  if (!directory) co_return std::unexpected(not_acme("an ACME directory; look at the directory's URL"));
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
  if (!response) co_return std::unexpected(no_answer(std::move(response.error())));
  if (response->status >= 400) {
    Problem problem = parse_problem(response->body, response->status);
    problem.retry_at = from_retry_after(response->retry_after, conversation_.now());
    co_return std::unexpected(std::move(problem));
  }
  if (!is_nonce(response->nonce)) co_return std::unexpected(not_acme("a nonce"));
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
        if (response->status < 400) co_return *std::move(response);
        problem = parse_problem(response->body, response->status);
        problem->retry_at = from_retry_after(response->retry_after, conversation_.now());
        if (problem->type == ProblemType::bad_nonce && ++nonce_attempts < most_nonce_attempts) continue;
        if (!is_away(response->status) || repeat == Repeat::never) co_return std::unexpected(*std::move(problem));
      }
    }
    if (attempt == most_attempts) co_return std::unexpected(*std::move(problem));
    const Time again = conversation_.now() + first_poll * (1 << attempt);
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
  if (!response) co_return std::unexpected(std::move(response.error()));
  if (!is_usable_url(response->location)) co_return std::unexpected(not_acme("an account with its URL"));
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

// --- orders

Flow<Result<Order>> Client::order_at(std::string url) {
  auto response = co_await post(std::move(url), {}, Repeat::when_lost);
  if (!response) co_return std::unexpected(std::move(response.error()));
  auto order = parse_order(response->body);
  if (!order) co_return std::unexpected(not_acme("an order"));
  co_return *std::move(order);
}

Flow<Result<Done>> Client::await_authorization(std::string url, Time deadline) {
  Polling polling(conversation_.now(), deadline - conversation_.now());
  for (;;) {
    auto response = co_await post(url, {}, Repeat::when_lost);
    if (!response) co_return std::unexpected(std::move(response.error()));
    auto authorization = parse_authorization(response->body);
    if (!authorization) co_return std::unexpected(not_acme("an authorization"));
    if (authorization->status == Status::valid) co_return Done{};
    if (authorization->status != Status::pending) {
      Problem problem;
      problem.type = ProblemType::unauthorized;
      for (Challenge& challenge : authorization->challenges)
        if (challenge.error) problem = *std::move(challenge.error);
      if (problem.parts.empty()) problem.parts.push_back({authorization->identifier, "was not validated"});
      co_return std::unexpected(std::move(problem));
    }
    const auto next = polling.next(conversation_.now(), response->retry_after);
    if (!next) {
      Problem problem = no_answer("the CA has not validated " + authorization->identifier.value + " in ten minutes");
      co_return std::unexpected(std::move(problem));
    }
    co_await conversation_.wait_until(*next);
  }
}

Flow<Result<Done>> Client::authorize(const Order& order, ChallengeType wanted) {
  // All challenges are answered by every gateway before the CA is told of the first.
  std::vector<Presentation> presentations;
  std::vector<std::string> challenges;
  std::vector<std::string> waiting;
  for (const std::string& url : order.authorizations) {
    auto response = co_await post(url, {}, Repeat::when_lost);
    if (!response) co_return std::unexpected(std::move(response.error()));
    const auto authorization = parse_authorization(response->body);
    if (!authorization) co_return std::unexpected(not_acme("an authorization"));
    if (authorization->status == Status::valid) continue;
    const ChallengeType type = authorization->is_wildcard ? ChallengeType::dns_01 : wanted;
    const auto challenge = std::ranges::find(authorization->challenges, type, &Challenge::type);
    if (challenge == authorization->challenges.end()) {
      Problem problem;
      problem.type = ProblemType::unsupported_identifier;
      problem.detail =
          "the CA offers no " + std::string(challenge_name(type)) + " for " + authorization->identifier.value;
      co_return std::unexpected(std::move(problem));
    }
    waiting.push_back(url);
    if (challenge->status != Status::pending) continue;  // the CA has been told before
    challenges.push_back(challenge->url);
    presentations.push_back(
        {type, authorization->identifier, challenge->token, key_authorization(challenge->token, *key_)});
  }
  if (!presentations.empty()) {
    const auto presented = co_await conversation_.present(std::move(presentations));
    if (!presented) {
      Problem problem;
      problem.detail = printable("the challenge could not be answered by all gateways: " + presented.error(), 400);
      co_return std::unexpected(std::move(problem));
    }
  }
  for (const std::string& url : challenges)
    if (auto told = co_await post(url, "{}", Repeat::when_lost); !told)
      co_return std::unexpected(std::move(told.error()));
  const Time deadline = conversation_.now() + longest_validation;
  std::optional<Problem> first;
  for (const std::string& url : waiting) {
    auto validated = co_await await_authorization(url, deadline);
    if (validated) continue;
    if (!first)
      first = std::move(validated.error());
    else
      first->parts.insert(first->parts.end(), validated.error().parts.begin(), validated.error().parts.end());
  }
  if (first) co_return std::unexpected(*std::move(first));
  co_return Done{};
}

Flow<Result<std::string>> Client::download(std::string url, std::string preferred_chain) {
  auto response = co_await post(std::move(url), {}, Repeat::when_lost);
  if (!response) co_return std::unexpected(std::move(response.error()));
  std::string chain = std::move(response->body);
  if (preferred_chain.empty()) co_return chain;
  const auto is_preferred = [&](const std::string& pem) {
    const auto facts = read_chain(pem);
    return facts && facts->top_issuer == preferred_chain;
  };
  if (is_preferred(chain)) co_return chain;
  std::vector<std::string> alternates = links(response->link, "alternate");
  alternates.resize(std::min(alternates.size(), most_alternates));
  for (const std::string& alternate : alternates) {
    auto other = co_await post(alternate, {}, Repeat::when_lost);
    if (other && is_preferred(other->body)) co_return std::move(other->body);
  }
  co_return chain;  // the CA's own choice is better than none
}

Flow<Result<Issued>> Client::obtain(OrderRequest request, std::optional<Progress> resumed) {
  if (auto opened = co_await open(); !opened) co_return std::unexpected(std::move(opened.error()));
  if (!request.profile.empty() && !directory_.profiles.contains(request.profile)) {
    Problem problem;
    problem.type = ProblemType::invalid_profile;
    for (const auto& [name, description] : directory_.profiles)
      problem.detail += (problem.detail.empty() ? "it offers " : ", ") + name;
    co_return std::unexpected(std::move(problem));
  }

  Progress progress;
  std::optional<Order> order;
  std::optional<PrivateKey> key;
  if (resumed) {
    if (auto read = PrivateKey::from_pem(resumed->key.reveal())) key = *std::move(read);
    if (key) {
      auto found = co_await order_at(resumed->order);
      Identifiers wanted = request.identifiers;
      std::ranges::sort(wanted);
      if (found) std::ranges::sort(found->identifiers);
      if (found && found->status != Status::invalid && found->identifiers == wanted) {
        order = *std::move(found);
        progress = *std::move(resumed);
      } else if (!found && (found.error().type == ProblemType::no_answer || is_away(found.error().status))) {
        co_return std::unexpected(std::move(found.error()));  // a new order now might be a second one
      }
    }
  }

  if (!order) {
    Json payload = {{"identifiers", Json::array()}};
    for (const Identifier& identifier : request.identifiers)
      payload["identifiers"].push_back(identifier_json(identifier));
    if (!request.profile.empty()) payload["profile"] = request.profile;
    if (!request.replaces.empty() && !directory_.renewal_info.empty()) payload["replaces"] = request.replaces;
    auto placed = co_await post(directory_.new_order, payload.dump(), Repeat::never);
    if (!placed && placed.error().type == ProblemType::already_replaced) {
      payload.erase("replaces");
      placed = co_await post(directory_.new_order, payload.dump(), Repeat::never);
    }
    if (!placed) co_return std::unexpected(std::move(placed.error()));
    order = parse_order(placed->body);
    if (!order || !is_usable_url(placed->location)) co_return std::unexpected(not_acme("an order with its URL"));
    key = PrivateKey::generate(request.key_type);
    progress = {placed->location, key->to_pem()};
    const auto kept = co_await conversation_.keep(progress);
    if (!kept) {
      Problem problem;
      problem.detail = printable("the order could not be stored: " + kept.error(), 400);
      co_return std::unexpected(std::move(problem));
    }
  }

  if (order->status == Status::pending)
    if (auto authorized = co_await authorize(*order, request.challenge); !authorized)
      co_return std::unexpected(std::move(authorized.error()));

  bool is_finalized = order->status == Status::processing || order->status == Status::valid;
  Polling polling(conversation_.now(), longest_validation);
  std::string retry_after;
  while (order->status != Status::valid) {
    if (order->status == Status::invalid) {
      Problem problem = order->error.value_or(Problem{});
      if (!order->error) problem.detail = "the order has become invalid";
      co_return std::unexpected(std::move(problem));
    }
    std::string url = progress.order, payload;
    if (order->status == Status::ready && !is_finalized) {
      is_finalized = true;
      url = order->finalize;
      payload = Json{{"csr", base64url(key->certificate_request(request.identifiers))}}.dump();
    } else if (order->status != Status::pending || !retry_after.empty() || is_finalized) {
      const auto next = polling.next(conversation_.now(), retry_after);
      if (!next) co_return std::unexpected(no_answer("the CA has not issued the certificate in ten minutes"));
      co_await conversation_.wait_until(*next);
    }
    auto response = co_await post(url, payload, Repeat::when_lost);
    if (!response && response.error().type == ProblemType::order_not_ready && !payload.empty()) {
      is_finalized = false;  // it says so: look again in a moment
      order->status = Status::pending;
      retry_after = "1";
      continue;
    }
    if (!response) co_return std::unexpected(std::move(response.error()));
    order = parse_order(response->body);
    if (!order) co_return std::unexpected(not_acme("an order"));
    retry_after = response->retry_after;
    if (retry_after.empty() && order->status == Status::pending) retry_after = "1";
  }
  if (order->certificate.empty()) co_return std::unexpected(not_acme("an order with its certificate"));
  auto chain = co_await download(order->certificate, request.preferred_chain);
  if (!chain) co_return std::unexpected(std::move(chain.error()));

  const auto facts = read_chain(*chain);
  if (!facts) co_return std::unexpected(no_answer(facts.error()));
  if (!is_for_key(*chain, *key)) co_return std::unexpected(not_acme("a certificate for the key of the order"));
  for (const Identifier& identifier : request.identifiers)
    if (!std::ranges::binary_search(facts->names, identifier))
      co_return std::unexpected(not_acme("a certificate for " + identifier.value));
  co_return Issued{*std::move(chain), std::move(progress.key)};
}

// --- certificates

Flow<Result<Done>> Client::revoke(std::string leaf_der, int reason, const PrivateKey* certificate_key) {
  if (auto opened = co_await open(); !opened) co_return std::unexpected(std::move(opened.error()));
  if (directory_.revoke_certificate.empty()) co_return std::unexpected(no_answer("the CA offers no revocation"));
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
  const auto ask_again = from_retry_after(response->retry_after, conversation_.now());
  if (response->status != 200) {
    Problem problem = parse_problem(response->body, response->status);
    problem.retry_at = ask_again;
    co_return std::unexpected(std::move(problem));
  }
  const auto info = parse_renewal_info(response->body);
  if (!info) co_return std::unexpected(not_acme("renewal information"));
  co_return std::optional<Renewal>(Renewal{*info, ask_again});
}

}  // namespace gatehouse::acme
