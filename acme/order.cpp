// Orders, from their placing to the chain (RFC 8555 section 7.4); see client.hpp.
#include <algorithm>

#include "acme/base64url.hpp"
#include "acme/certificate.hpp"
#include "acme/client.hpp"
#include "acme/json.hpp"
#include "acme/jws.hpp"

namespace gatehouse::acme {

namespace {

constexpr std::size_t most_alternates = 8;
constexpr Seconds longest_validation = std::chrono::minutes(10);
constexpr Seconds first_poll = Seconds(1);
constexpr Seconds slowest_poll = Seconds(15);

bool is_away(int status) noexcept { return status == 502 || status == 503 || status == 504; }

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

}  // namespace gatehouse::acme
