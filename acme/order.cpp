// Orders, from their placing to the chain (RFC 8555 section 7.4); see client.hpp.
#include <algorithm>

#include "acme/base64url.hpp"
#include "acme/certificate.hpp"
#include "acme/client.hpp"
#include "acme/json.hpp"
#include "acme/jws.hpp"
#include "acme/links.hpp"

namespace gatehouse::acme {

namespace {

constexpr std::size_t most_alternates = 8;
constexpr Seconds longest_validation = std::chrono::minutes(10);
constexpr Seconds most_clock_error = std::chrono::minutes(5);  // ours against the CA's
constexpr Seconds first_poll = Seconds(1);
constexpr Seconds slowest_poll = Seconds(15);

// Whether the CA says that the account has no such order. After anything else a new order might be a second one.
bool is_gone(const Problem& problem) noexcept {
  return problem.status >= 400 && problem.status < 500 && problem.status != 429 &&
         problem.type != ProblemType::rate_limited && problem.type != ProblemType::bad_nonce &&
         problem.type != ProblemType::account_does_not_exist;
}

// Whether it may still become a certificate, or is one.
bool is_alive(Status status) noexcept {
  return status == Status::pending || status == Status::ready || status == Status::processing ||
         status == Status::valid;
}

// Whether the predecessor may be what the CA does not like about an order (RFC 9773 section 5): it has been replaced, or
// is another account's. The certificate is worth more than to be known as its successor.
bool may_be_of_the_predecessor(const Problem& problem) noexcept {
  return problem.type == ProblemType::already_replaced || problem.type == ProblemType::malformed ||
         problem.type == ProblemType::unauthorized || problem.status == 409;
}

// Whether the authorization is for a name of the order, a wildcard's for the name behind "*." (RFC 8555 section 7.1.4).
bool is_of(const Authorization& authorization, const Identifiers& ordered) {
  return std::ranges::any_of(ordered, [&](const Identifier& identifier) {
    if (authorization.is_wildcard && !identifier.is_wildcard()) return false;
    std::string_view value = identifier.value;
    if (identifier.is_wildcard()) value.remove_prefix(2);
    return authorization.identifier.type == identifier.type && authorization.identifier.value == value;
  });
}

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
      if (problem.type == ProblemType::other) problem.type = ProblemType::unauthorized;  // it has cost a validation
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

Flow<Result<Done>> Client::tell(std::string challenge, std::string authorization) {
  auto told = co_await post(challenge, "{}", Repeat::when_lost);
  if (told) co_return Done{};
  if (told.error().status < 400 || told.error().status >= 500) co_return std::unexpected(std::move(told.error()));
  // It may be refused because it has been told before, and that answer was lost.
  auto response = co_await post(std::move(authorization), {}, Repeat::when_lost);
  const auto current = response ? parse_authorization(response->body) : std::nullopt;
  if (!current) co_return std::unexpected(std::move(told.error()));
  const auto same = std::ranges::find(current->challenges, challenge, &Challenge::url);
  const bool is_told =
      current->status != Status::pending || (same != current->challenges.end() && same->status != Status::pending);
  if (!is_told) co_return std::unexpected(std::move(told.error()));
  co_return Done{};
}

Flow<Result<Done>> Client::authorize(const Order& order, const Identifiers& ordered, ChallengeType wanted) {
  // All challenges are answered by every gateway before the CA is told of the first.
  std::vector<Presentation> presentations;
  std::vector<std::pair<std::string, std::string>> untold;  // challenge, authorization
  std::vector<std::string> waiting;
  for (const std::string& url : order.authorizations) {
    auto response = co_await post(url, {}, Repeat::when_lost);
    if (!response) co_return std::unexpected(std::move(response.error()));
    const auto authorization = parse_authorization(response->body);
    if (!authorization) co_return std::unexpected(not_acme("an authorization"));
    // Nothing is answered for a name that nobody here asked for.
    if (!is_of(*authorization, ordered))
      co_return std::unexpected(
          not_acme("an authorization for a name of the order: " + authorization->identifier.value));
    if (authorization->status == Status::valid) continue;
    waiting.push_back(url);
    if (authorization->status != Status::pending) continue;  // it has failed, and is asked why below
    const ChallengeType type = authorization->is_wildcard ? ChallengeType::dns_01 : wanted;
    const auto challenge = std::ranges::find(authorization->challenges, type, &Challenge::type);
    if (challenge == authorization->challenges.end()) {
      Problem problem;
      problem.type = ProblemType::unsupported_identifier;
      problem.detail =
          "the CA offers no " + std::string(challenge_name(type)) + " for " + authorization->identifier.value;
      co_return std::unexpected(std::move(problem));
    }
    // One that the CA was told of is answered all the same: whoever told it may be gone.
    if (challenge->status != Status::pending && challenge->status != Status::processing) continue;
    if (challenge->status == Status::pending) untold.emplace_back(challenge->url, url);
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
  for (const auto& [challenge, authorization] : untold)
    if (auto told = co_await tell(challenge, authorization); !told) co_return std::unexpected(std::move(told.error()));
  const Time deadline = conversation_.now() + longest_validation;
  std::optional<Problem> first;
  for (const std::string& url : waiting) {
    auto validated = co_await await_authorization(url, deadline);
    if (validated) continue;
    const bool is_away = validated.error().type == ProblemType::no_answer;
    if (!first) {
      first = std::move(validated.error());
    } else {
      for (Problem::Part& part : validated.error().parts)
        if (first->parts.size() < Problem::most_parts) first->parts.push_back(std::move(part));
    }
    if (is_away) break;  // it will not answer for the next one either
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
    problem.detail = printable(problem.detail, 400);
    co_return std::unexpected(std::move(problem));
  }

  Progress progress;
  std::optional<Order> order;
  std::optional<PrivateKey> key;
  bool is_key_kept = false;
  // What was begun with another kind of key or profile than are configured by now is of no use any more.
  if (resumed && resumed->profile == request.profile) {
    if (auto read = PrivateKey::from_pem(resumed->key.reveal()); read && read->type() == request.key_type)
      key = *std::move(read);
    if (key && resumed->order.empty()) {
      is_key_kept = true;
      progress = *std::move(resumed);
    } else if (key) {
      auto found = co_await order_at(resumed->order);
      Identifiers wanted = request.identifiers;
      std::ranges::sort(wanted);
      if (found) std::ranges::sort(found->identifiers);
      if (found && is_alive(found->status) && found->identifiers == wanted) {
        order = *std::move(found);
        progress = *std::move(resumed);
      } else if (!found && !is_gone(found.error())) {
        co_return std::unexpected(std::move(found.error()));
      }
    }
  }

  // What could not be stored: whoever comes after would know nothing of it.
  const auto not_kept = [](const std::string& reason) {
    Problem problem;
    problem.detail = printable("the order could not be stored: " + reason, 400);
    return std::unexpected(std::move(problem));
  };
  if (!order) {
    // The key before the CA hears of the order: where nothing can be stored nothing is ordered.
    if (!is_key_kept) {
      key = PrivateKey::generate(request.key_type);
      progress = {{}, key->to_pem(), request.profile};
      if (const auto kept = co_await conversation_.keep(progress); !kept) co_return not_kept(kept.error());
    }
    Json payload = {{"identifiers", Json::array()}};
    for (const Identifier& identifier : request.identifiers)
      payload["identifiers"].push_back(identifier_json(identifier));
    if (!request.profile.empty()) payload["profile"] = request.profile;
    if (!request.replaces.empty() && !directory_.renewal_info.empty()) payload["replaces"] = request.replaces;
    auto placed = co_await post(directory_.new_order, payload.dump(), Repeat::never);
    if (!placed && payload.contains("replaces") && may_be_of_the_predecessor(placed.error())) {
      payload.erase("replaces");
      placed = co_await post(directory_.new_order, payload.dump(), Repeat::never);
    }
    if (!placed) {
      placed.error().is_of_the_service = true;
      co_return std::unexpected(std::move(placed.error()));
    }
    order = parse_order(placed->body);
    if (!order || !is_usable_url(placed->location)) co_return std::unexpected(not_acme("an order with its URL"));
    progress.order = placed->location;
    if (const auto kept = co_await conversation_.keep(progress); !kept) co_return not_kept(kept.error());
  }

  if (order->status == Status::pending)
    if (auto authorized = co_await authorize(*order, request.identifiers, request.challenge); !authorized)
      co_return std::unexpected(std::move(authorized.error()));

  bool is_known_to_be_old = order->status == Status::pending;  // it has been authorized since
  bool may_finalize = true;
  Polling polling(conversation_.now(), longest_validation);
  std::string retry_after;
  while (order->status != Status::valid) {
    if (!is_alive(order->status)) {
      Problem problem = order->error.value_or(Problem{});
      if (!order->error) problem.detail = "the order has become invalid";
      co_return std::unexpected(std::move(problem));
    }
    std::string url = progress.order, payload;
    if (order->status == Status::ready && may_finalize) {
      may_finalize = false;
      url = order->finalize;
      payload = Json{{"csr", base64url(key->certificate_request(request.identifiers))}}.dump();
    } else if (!std::exchange(is_known_to_be_old, false)) {
      const auto next = polling.next(conversation_.now(), retry_after);
      if (!next) co_return std::unexpected(no_answer("the CA has not issued the certificate in ten minutes"));
      co_await conversation_.wait_until(*next);
    }
    auto response = co_await post(url, payload, Repeat::when_lost);
    if (!response && response.error().type == ProblemType::order_not_ready && !payload.empty()) {
      may_finalize = true;  // it says so: look again in a moment
      order->status = Status::pending;
      retry_after.clear();
      continue;
    }
    if (!response) co_return std::unexpected(std::move(response.error()));
    order = parse_order(response->body);
    if (!order) co_return std::unexpected(not_acme("an order"));
    retry_after = response->retry_after;
  }
  if (order->certificate.empty()) co_return std::unexpected(not_acme("an order with its certificate"));
  auto chain = co_await download(order->certificate, request.preferred_chain);
  if (!chain) co_return std::unexpected(std::move(chain.error()));

  const auto facts = read_chain(*chain);
  if (!facts) co_return std::unexpected(no_answer(facts.error()));
  if (!is_for_key(*chain, *key)) co_return std::unexpected(unusable_certificate("it is not for the key of the order"));
  for (const Identifier& identifier : request.identifiers)
    if (!std::ranges::binary_search(facts->names, identifier))
      co_return std::unexpected(unusable_certificate("it is not for " + identifier.value));
  const Time now = conversation_.now();
  if (facts->not_after <= now) co_return std::unexpected(unusable_certificate("it has expired"));
  if (facts->not_before > now + most_clock_error)
    co_return std::unexpected(unusable_certificate("it is not valid yet; is the clock right?"));
  co_return Issued{*std::move(chain), std::move(progress.key)};
}

}  // namespace gatehouse::acme
