// Orders of the CA in memory, from their placing to the certificate; see fake_ca.hpp.
#include <algorithm>
#include <charconv>

#include "acme/base64url.hpp"
#include "acme/certificate.hpp"
#include "fake_ca.hpp"

namespace gatehouse::acme::test {

using nlohmann::json;

namespace {

/// The number in "/order/7/finalize"; 0 where there is none.
std::size_t number_in(std::string_view path) {
  path.remove_prefix(path.find('/', 1) + 1);
  std::size_t number = 0;
  std::from_chars(path.data(), path.data() + path.size(), number);
  return number;
}

std::string at(const char* folder, std::size_t number) {
  return FakeCa::url + std::string(folder) + std::to_string(number);
}

json identifier_json(const Identifier& name) {
  return {{"type", name.type == Identifier::Type::dns ? "dns" : "ip"}, {"value", name.value}};
}

ChallengeType type_named(const std::string& name) { return challenge_type(name).value(); }

}  // namespace

// --- authorizations

std::size_t FakeCa::authorization_for(const std::string& account, const Identifier& name) {
  Authorization fresh{.account = account, .name = name, .is_wildcard = name.is_wildcard()};
  if (fresh.is_wildcard) fresh.name.value.erase(0, 2);
  if (behaviour.keeps_authorizations)
    for (std::size_t i = 0; i < authorizations_.size(); ++i) {
      const Authorization& old = authorizations_[i];
      if (old.account == account && old.name == fresh.name && old.is_wildcard == fresh.is_wildcard &&
          old.status == "valid")
        return i + 1;
    }
  for (const std::string& type : behaviour.challenges) {
    if (fresh.is_wildcard && type != "dns-01") continue;                         // as CAs do
    if (name.type == Identifier::Type::ip && type == "dns-01") continue;         // RFC 8738 section 7
    fresh.challenges.push_back({.type = type, .token = random_text() + random_text()});
  }
  authorizations_.push_back(std::move(fresh));
  return authorizations_.size();
}

/// Asks the hosts.
void FakeCa::validate(Authorization& authorization) {
  for (Challenge& challenge : authorization.challenges) {
    if (challenge.status != "processing") continue;
    const std::string expected = challenge.token + "." + thumbprint_of_jwk(accounts_.at(authorization.account).jwk);
    const bool is_answered = std::ranges::any_of(presented, [&](const Presentation& answer) {
      return answer.type == type_named(challenge.type) && answer.identifier == authorization.name &&
             answer.token == challenge.token &&
             (answer.type == ChallengeType::dns_01 ? answer.dns_value() == base64url(sha256(expected))
                                                   : answer.key_authorization == expected);
    });
    challenge.error = is_answered ? "" : behaviour.failure;
    if (!is_answered && ++challenge.tries < behaviour.validation_tries) continue;  // it stays in processing
    if (!is_answered) failed_validations_.push_back({authorization.name.value, now_});
    challenge.status = authorization.status = is_answered ? "valid" : "invalid";
  }
  if (authorization.status != "pending")  // what was not tried is gone (RFC 8555 section 7.1.4)
    std::erase_if(authorization.challenges, [](const Challenge& challenge) { return challenge.status == "pending"; });
}

HttpResponse FakeCa::authorization(const Asked& asked) {
  const std::size_t number = number_in(asked.path);
  if (number == 0 || number > authorizations_.size()) throw Refusal{404, "malformed", "no authorization"};
  Authorization& authorization = authorizations_[number - 1];
  if (authorization.account != asked.account) throw Refusal{403, "unauthorized", "of another account"};
  if (!asked.payload.empty()) return complain("an authorization is read with an empty payload");
  const bool is_told = std::ranges::any_of(authorization.challenges,
                                           [](const Challenge& challenge) { return challenge.status == "processing"; });
  if (is_told && !behaviour.waits_for_good && authorization.polls++ >= behaviour.validation_polls)
    validate(authorization);
  json body = {{"status", authorization.status},
               {"identifier", identifier_json(behaviour.authorizes.value_or(authorization.name))},
               {"challenges", json::array()}};
  if (authorization.is_wildcard) body["wildcard"] = true;
  for (std::size_t i = 0; i < authorization.challenges.size(); ++i) {
    const Challenge& challenge = authorization.challenges[i];
    json one = {{"type", challenge.type},
                {"status", challenge.status},
                {"token", challenge.token},
                {"url", at("/chall/", number) + "/" + challenge.token}};
    if (!challenge.error.empty())
      one["error"] = {{"type", "urn:ietf:params:acme:error:" + challenge.error}, {"detail", "no right answer"}};
    body["challenges"].push_back(one);
  }
  return {.status = 200, .body = body.dump(), .retry_after = behaviour.retry_after};
}

HttpResponse FakeCa::challenge(const Asked& asked) {
  const std::size_t number = number_in(asked.path);
  if (number == 0 || number > authorizations_.size()) throw Refusal{404, "malformed", "no authorization"};
  Authorization& authorization = authorizations_[number - 1];
  if (authorization.account != asked.account) throw Refusal{403, "unauthorized", "of another account"};
  if (asked.payload != "{}") return complain("a challenge is told with an empty object");
  const auto found = std::ranges::find_if(authorization.challenges, [&](const Challenge& challenge) {
    return asked.path.ends_with("/" + challenge.token);
  });
  if (found == authorization.challenges.end()) throw Refusal{404, "malformed", "no challenge"};
  if (found->status != "pending" && behaviour.refuses_second_tellings)
    throw Refusal{400, "malformed", "the challenge is not pending"};
  if (found->status == "pending") found->status = "processing";
  return {.status = 200,
          .body = json{{"type", found->type}, {"status", found->status}, {"token", found->token}}.dump()};
}

// --- orders

HttpResponse FakeCa::new_order(const Asked& asked) {
  if (!behaviour.order_limit.empty()) throw Refusal{429, "rateLimited", behaviour.order_limit_words};
  last_order_ = asked.body();
  Order order{.account = asked.account};
  for (const json& identifier : last_order_["identifiers"])
    order.names.push_back(
        {identifier["type"] == "ip" ? Identifier::Type::ip : Identifier::Type::dns, identifier["value"]});
  if (order.names.empty()) return complain("an order of nothing");
  const std::string profile = last_order_.value("profile", "");
  if (!profile.empty() && !behaviour.profiles.contains(profile)) throw Refusal{400, "invalidProfile", profile};
  const std::string replaces = last_order_.value("replaces", "");
  if (!replaces.empty() && !behaviour.has_renewal_info) return complain("replaces without renewal information");
  if (replaced_.contains(replaces)) throw Refusal{409, "alreadyReplaced", "by another order"};
  if (!replaces.empty()) replaced_.insert(replaces);
  for (const Identifier& name : order.names) order.authorizations.push_back(authorization_for(asked.account, name));
  const std::size_t number = ++last_number_;
  refresh(order);
  orders_[number] = std::move(order);
  return {.status = 201,
          .body = order_json(orders_[number], number),
          .location = behaviour.order_url.value_or(at("/order/", number))};
}

void FakeCa::refresh(Order& order) {
  if (order.status != "pending") return;
  bool is_ready = true;
  for (const std::size_t number : order.authorizations) {
    const std::string& status = authorizations_[number - 1].status;
    is_ready = is_ready && status == "valid";
    if (status == "invalid") order.status = "invalid";
  }
  if (is_ready) order.status = "ready";
}

std::string FakeCa::order_json(const Order& order, std::size_t number) const {
  json body = {{"status", order.status},
               {"identifiers", json::array()},
               {"authorizations", json::array()},
               {"finalize", at("/order/", number) + "/finalize"}};
  for (const Identifier& name : order.names)
    body["identifiers"].insert(body["identifiers"].begin(), identifier_json(name));
  for (const std::size_t one : order.authorizations) body["authorizations"].push_back(at("/authz/", one));
  if (order.status == "valid") body["certificate"] = at("/cert/", number);
  if (order.status == "invalid")
    body["error"] = {{"type", "urn:ietf:params:acme:error:unauthorized"}, {"detail", "an authorization failed"}};
  return body.dump();
}

HttpResponse FakeCa::order(const Asked& asked, Time now) {
  const std::size_t number = number_in(asked.path);
  const auto found = orders_.find(number);
  if (found == orders_.end()) throw Refusal{404, "malformed", "no order"};
  Order& order = found->second;
  if (order.account != asked.account) throw Refusal{403, "unauthorized", "of another account"};
  refresh(order);
  if (asked.path.ends_with("/finalize")) {
    if (order.status != "ready" || behaviour.finalize_not_ready-- > 0)
      throw Refusal{403, "orderNotReady", order.status};
    if (std::ranges::any_of(order.names, [&](const auto& name) { return behaviour.failing.contains(name.value); }))
      throw Refusal{500, "serverInternal", "not this one"};
    const auto csr = from_base64url(asked.body().value("csr", ""));
    if (!csr) return complain("a finalize without a request");
    issue(order, number, *csr, now);
  } else if (!asked.payload.empty()) {
    return complain("an order is read with an empty payload");
  }
  if (order.status == "processing" && order.polls++ >= behaviour.issuance_polls) order.status = "valid";
  return {.status = 200, .body = order_json(order, number), .retry_after = behaviour.retry_after};
}

void FakeCa::issue(Order& order, std::size_t number, std::string_view csr, Time now) {
  const auto request = read_request(csr);
  if (!request) throw Refusal{400, "badCSR", "cannot be read"};
  Identifiers asked = request->names, ordered = order.names;
  std::ranges::sort(asked);
  std::ranges::sort(ordered);
  if (asked != ordered) throw Refusal{400, "badCSR", "other names"};
  Leaf leaf{.names = order.names};
  leaf.serial = "\x05" + std::to_string(number);
  leaf.authority_key = "the intermediate";
  leaf.not_before = now - behaviour.age;
  leaf.not_after = leaf.not_before + behaviour.lifetime;
  if (behaviour.forgets_a_name) leaf.names.pop_back();
  const PrivateKey another = PrivateKey::generate(KeyType::ecdsa_p256);
  const std::string pem = intermediate_.issue(behaviour.confuses_keys ? another.handle() : request->key.get(), leaf);
  order.chain = pem + first_root_.issue(intermediate_);
  order.alternate = pem + second_root_.issue(intermediate_);
  certificates_[leaf_der(pem)] = {order.account, PublicKey(request->key.get())};
  // As Let's Encrypt does: two days of 45, about two thirds through.
  windows_[read_chain(pem)->renewal_id] = {now + behaviour.lifetime * 64 / 100, now + behaviour.lifetime * 68 / 100,
                                           leaf_der(pem)};
  EVP_PKEY_up_ref(request->key.get());
  order.status = "processing";
}

int FakeCa::orders_of(const std::string& name) const {
  return static_cast<int>(std::ranges::count_if(
      orders_, [&](const auto& item) { return std::ranges::count(item.second.names, name, &Identifier::value) != 0; }));
}

HttpResponse FakeCa::certificate(const Asked& asked) {
  const auto found = orders_.find(number_in(asked.path));
  if (found == orders_.end() || found->second.status != "valid") throw Refusal{404, "malformed", "no certificate"};
  if (found->second.account != asked.account) throw Refusal{403, "unauthorized", "of another account"};
  if (!asked.payload.empty()) return complain("a certificate is read with an empty payload");
  if (asked.path.ends_with("/alternate")) return {.status = 200, .body = found->second.alternate};
  HttpResponse response{.status = 200, .body = found->second.chain};
  response.link = "<" + directory_url() + ">;rel=\"index\"";
  if (behaviour.has_alternates) response.link += ", <" + (url + asked.path) + "/alternate>;rel=\"alternate\"";
  return response;
}

}  // namespace gatehouse::acme::test
