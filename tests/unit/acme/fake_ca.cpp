// A CA in memory: what it is asked, and whether it may be; see fake_ca.hpp. Orders are in fake_ca_orders.cpp.
#include "fake_ca.hpp"

#include <fmt/chrono.h>

#include <algorithm>
#include <chrono>

#include "acme/base64url.hpp"
#include "acme/timestamp.hpp"

namespace gatehouse::acme::test {

using nlohmann::json;

namespace {

HttpResponse problem_response(int status, const std::string& type, const std::string& detail) {
  return {.status = status,
          .body = json{{"type", "urn:ietf:params:acme:error:" + type}, {"detail", detail}, {"status", status}}.dump()};
}

/// "/order/7/finalize" starts with "/order", "/orders" does not.
bool is_below(std::string_view path, std::string_view prefix) {
  return path.starts_with(prefix) && (path.size() == prefix.size() || path[prefix.size()] == '/');
}

}  // namespace

FakeCa::FakeCa() = default;

int FakeCa::count(std::string_view path) const {
  return static_cast<int>(std::ranges::count_if(asked_, [&](const std::string& one) { return is_below(one, path); }));
}

bool FakeCa::is_key_of(const std::string& account, const PrivateKey& key) const {
  return accounts_.contains(account) && accounts_.at(account).jwk == json::parse(key.public_jwk());
}

void FakeCa::set_orders(const std::string& status) {
  for (auto& [number, order] : orders_) order.status = status;
}

std::string FakeCa::random_text() {
  std::string bytes(18, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random_());
  return base64url(bytes);
}

HttpResponse FakeCa::complain(const std::string& what) {
  complaints_.push_back(what);
  return problem_response(400, "malformed", what);
}

HttpResponse FakeCa::answer(const HttpRequest& request, Time now) {
  if (!request.url.starts_with(std::string(url) + "/")) return complain("a URL of somebody else: " + request.url);
  const std::string path = request.url.substr(std::string(url).size());
  asked_.push_back(path);
  now_ = now;
  if (behaviour.is_away) return {.status = 503};
  const auto scripted = std::ranges::find_if(script, [&](const Scripted& entry) { return is_below(path, entry.path); });
  HttpResponse response;
  if (scripted != script.end()) {
    const Scripted entry = *scripted;
    script.erase(scripted);
    if (entry.acts) static_cast<void>(dispatch(request, path, now));
    response = problem_response(entry.status, entry.type, "as scripted");
    response.retry_after = entry.retry_after;
    response.location = entry.location;
  } else {
    response = dispatch(request, path, now);
  }
  if (request.method != HttpRequest::Method::get) nonces_.insert(response.nonce = random_text());
  if (behaviour.nonce) response.nonce = *behaviour.nonce;
  return response;
}

HttpResponse FakeCa::dispatch(const HttpRequest& request, const std::string& path, Time now) {
  if (request.method == HttpRequest::Method::head)
    return path == "/nonce" ? HttpResponse{.status = 200} : complain("HEAD of " + path);
  if (request.method == HttpRequest::Method::get) {
    if (path == "/dir") return directory();
    if (behaviour.is_renewal_info_away && path.starts_with("/ari/")) return {.status = 503};
    if (behaviour.has_renewal_info && path.starts_with("/ari/") && path.find('.') != std::string::npos)
      return renewal_info(path, now);
    return complain("GET of " + path);
  }
  try {
    const Asked asked = verify(request, path);
    if (path == "/account") return new_account(asked);
    if (path == "/order") return new_order(asked);
    if (path == "/revoke") return revoke(asked);
    if (path == "/key") return change_key(asked);
    if (is_below(path, "/order")) return order(asked, now);
    if (is_below(path, "/authz")) return authorization(asked);
    if (is_below(path, "/chall")) return challenge(asked);
    if (is_below(path, "/cert")) return certificate(asked);
    return complain("POST to " + path);
  } catch (const Refusal& refusal) {
    HttpResponse response = problem_response(refusal.status, refusal.type, refusal.detail);
    if (refusal.type == "rateLimited") response.retry_after = behaviour.order_limit;
    return response;
  }
}

HttpResponse FakeCa::directory() const {
  const std::string base = url;
  json document = {{"newNonce", base + "/nonce"},
                   {"newAccount", base + "/account"},
                   {"newOrder", base + "/order"},
                   {"revokeCert", base + "/revoke"},
                   {"keyChange", base + "/key"},
                   {"meta",
                    {{"externalAccountRequired", behaviour.wants_external_account},
                     {"profiles", behaviour.profiles},
                     {"termsOfService", base + "/terms"}}}};
  if (behaviour.has_renewal_info) document["renewalInfo"] = base + "/ari";
  return {.status = 200, .body = document.dump()};
}

// RFC 8555 section 6.2 to 6.5. What an honest client never sends is a complaint.
FakeCa::Asked FakeCa::verify(const HttpRequest& request, const std::string& path) {
  const auto fault = [&](const std::string& what) {
    complaints_.push_back(what + " in a request to " + path);
    return Refusal{400, "malformed", what};
  };
  const auto message = read_signed(request.body);
  if (!message) throw fault("no JWS");
  const json& header = message->header;
  if (header.value("alg", "") != "ES256") throw fault("another algorithm");
  if (header.value("url", "") != request.url) throw fault("another URL");
  if (header.contains("kid") == header.contains("jwk") || header.size() != 4) throw fault("not one of kid and jwk");
  const bool may_have_jwk = path == "/account" || path == "/revoke";
  if (header.contains("jwk") && !may_have_jwk) throw fault("jwk where there is an account");
  if (header.contains("kid") && path == "/account") throw fault("kid of a new account");
  if (nonces_.erase(header.value("nonce", "")) == 0)
    throw Refusal{400, "badNonce", "not a nonce of mine, or used before"};
  Asked asked{path, {}, {}, message->payload};
  if (header.contains("jwk")) {
    asked.jwk = header["jwk"];
  } else {
    asked.account = header.value("kid", "");
    const auto account = accounts_.find(asked.account);
    if (account == accounts_.end()) throw Refusal{400, "accountDoesNotExist", "never heard of it"};
    asked.jwk = account->second.jwk;
  }
  if (!message->is_signed_by(asked.jwk)) throw fault("a bad signature");
  if (std::bernoulli_distribution(behaviour.refused_nonces)(random_)) throw Refusal{400, "badNonce", "by chance"};
  return asked;
}

// RFC 8555 section 7.3.4.
void FakeCa::external_account(const json& body, const json& jwk) {
  if (!body.contains("externalAccountBinding")) throw Refusal{403, "externalAccountRequired", "who are you?"};
  const auto binding = read_signed(body["externalAccountBinding"].dump());
  if (!binding || binding->header.value("alg", "") != "HS256" ||
      binding->header.value("url", "") != url + std::string("/account"))
    throw Refusal{400, "malformed", "no binding"};
  const auto mac = external_accounts.find(binding->header.value("kid", ""));
  if (mac == external_accounts.end() || json::parse(binding->payload, nullptr, false) != jwk ||
      hmac_sha256(mac->second.reveal(), binding->signing_input) != binding->signature)
    throw Refusal{403, "unauthorized", "the binding does not hold"};
}

HttpResponse FakeCa::new_account(const Asked& asked) {
  const json body = asked.body();
  if (!body.is_object() || !body.value("termsOfServiceAgreed", false)) return complain("terms are not agreed to");
  for (const auto& [location, account] : accounts_)
    if (account.jwk == asked.jwk) return {.status = 200, .body = R"({"status":"valid"})", .location = location};
  if (behaviour.wants_external_account) external_account(body, asked.jwk);
  const std::string location = url + std::string("/acct/") + std::to_string(accounts_.size() + 1);
  accounts_[location] = {asked.jwk};
  return {.status = 201, .body = R"({"status":"valid"})", .location = location};
}

// RFC 8555 section 7.3.5.
HttpResponse FakeCa::change_key(const Asked& asked) {
  const auto inner = read_signed(asked.payload);
  if (!inner || inner->header.contains("nonce") || inner->header.value("url", "") != url + asked.path)
    return complain("no change of keys");
  const json body = json::parse(inner->payload, nullptr, false);
  if (!inner->header.contains("jwk") || !inner->is_signed_by(inner->header["jwk"]))
    return complain("not signed by the new key");
  if (body.value("account", "") != asked.account || body["oldKey"] != asked.jwk) return complain("of another account");
  for (const auto& [location, account] : accounts_)
    if (account.jwk == inner->header["jwk"]) throw Refusal{409, "conflict", "the key is another account's"};
  accounts_.at(asked.account).jwk = inner->header["jwk"];
  return {.status = 200, .body = R"({"status":"valid"})"};
}

// RFC 8555 section 7.6.
HttpResponse FakeCa::revoke(const Asked& asked) {
  const json body = asked.body();
  const auto der = from_base64url(body.value("certificate", ""));
  const auto found = der ? certificates_.find(*der) : certificates_.end();
  if (found == certificates_.end()) throw Refusal{404, "malformed", "no certificate of mine"};
  const auto& [account, key] = found->second;
  const PublicKey signer = key_of_jwk(asked.jwk);
  const bool is_own = asked.account.empty() ? EVP_PKEY_eq(signer.get(), key.get()) == 1 : asked.account == account;
  if (!is_own) throw Refusal{403, "unauthorized", "not your certificate"};
  if (!revoked_.emplace(*der, body.value("reason", -1)).second) throw Refusal{400, "alreadyRevoked", "long ago"};
  return {.status = 200};
}

HttpResponse FakeCa::renewal_info(const std::string& path, Time now) const {
  const auto text = [](Time time) {
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::chrono::system_clock::to_time_t(time)));
  };
  Time start = now + std::chrono::hours(24), end = now + std::chrono::hours(48);
  if (const auto found = windows_.find(path.substr(path.rfind('/') + 1)); found != windows_.end()) {
    const bool is_revoked = revoked_.contains(found->second.der) || behaviour.has_only_past_windows;
    start = is_revoked ? now - std::chrono::hours(2) : found->second.start;
    end = is_revoked ? now - std::chrono::hours(1) : found->second.end;
  }
  return {.status = 200,
          .body = json{{"suggestedWindow", {{"start", text(start)}, {"end", text(end)}}}}.dump(),
          .retry_after = "21600"};
}

}  // namespace gatehouse::acme::test
