// ACME's resources; see messages.hpp.
#include "acme/messages.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "acme/json.hpp"
#include "config/address.hpp"

namespace gatehouse::acme {

namespace {

constexpr std::size_t most_url_bytes = 2048;
constexpr std::size_t most_names = 1000;
constexpr std::size_t most_name_characters = 253;
constexpr std::size_t most_label_characters = 63;
constexpr std::size_t most_challenges = 32;
constexpr std::size_t fewest_token_characters = 22;  // 128 bits
constexpr std::size_t most_token_characters = 128;

constexpr std::array<std::pair<std::string_view, ChallengeType>, 3> challenge_names = {
    {{"http-01", ChallengeType::http_01},
     {"dns-01", ChallengeType::dns_01},
     {"tls-alpn-01", ChallengeType::tls_alpn_01}}};

constexpr std::array<std::pair<std::string_view, Status>, 8> statuses = {{{"pending", Status::pending},
                                                                          {"processing", Status::processing},
                                                                          {"ready", Status::ready},
                                                                          {"valid", Status::valid},
                                                                          {"invalid", Status::invalid},
                                                                          {"deactivated", Status::deactivated},
                                                                          {"expired", Status::expired},
                                                                          {"revoked", Status::revoked}}};

Status status_member(const Json& object) {
  const std::string name = string_member(object, "status");
  const auto found = std::ranges::find(statuses, std::string_view(name), &std::pair<std::string_view, Status>::first);
  return found != statuses.end() ? found->second : Status::unknown;
}

// The member where it is a URL that may be asked; else "".
std::string url_member(const Json& object, const char* name) {
  std::string url = string_member(object, name);
  if (!is_usable_url(url)) url.clear();
  return url;
}

std::optional<Problem> problem_member(const Json& object) {
  const auto member = object.find("error");
  if (member == object.end() || !member->is_object()) return std::nullopt;
  const auto status = member->find("status");
  const auto code = status != member->end() && status->is_number_integer() ? status->get<std::int64_t>() : 0;
  return parse_problem(member->dump(-1, ' ', true, Json::error_handler_t::replace),
                       code >= 100 && code <= 599 ? static_cast<int>(code) : 0);
}

// In lower case; labels of 1 to 63 letters, digits, "-" and "_", the first of them perhaps "*".
bool is_name(std::string_view name) noexcept {
  if (name.size() > most_name_characters) return false;
  if (name.starts_with("*.")) name.remove_prefix(2);
  for (;;) {
    const std::string_view label = name.substr(0, name.find('.'));
    const bool is_label =
        !label.empty() && label.size() <= most_label_characters && std::ranges::all_of(label, [](char c) {
          return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
        });
    if (!is_label) return false;
    if (label.size() == name.size()) return true;
    name.remove_prefix(label.size() + 1);
  }
}

std::optional<Identifier> parse_identifier(const Json& object) {
  if (!object.is_object()) return std::nullopt;
  const std::string type = string_member(object, "type");
  std::string value = string_member(object, "value");
  if (type == "ip") {  // RFC 8738 section 3; compared with ours, so written as ours are
    const auto address = IpAddress::parse(value);
    if (!address) return std::nullopt;
    return Identifier{Identifier::Type::ip, address->to_string()};
  }
  if (type != "dns") return std::nullopt;
  std::ranges::transform(value, value.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  if (!is_name(value)) return std::nullopt;
  return Identifier{Identifier::Type::dns, std::move(value)};
}

bool is_token(std::string_view token) noexcept {
  return token.size() >= fewest_token_characters && token.size() <= most_token_characters &&
         std::ranges::all_of(token, [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
         });
}

// Host and port; std::nullopt where it is no "host", "host:port" or "[address]:port".
std::optional<std::string_view> host_of(std::string_view authority) noexcept {
  const std::size_t end =
      authority.starts_with('[') ? authority.find(']') + 1 : std::min(authority.find(':'), authority.size());
  const std::string_view host = authority.substr(0, end);
  const std::string_view port = authority.substr(end);
  if (host.empty() || host.contains('@')) return std::nullopt;
  if (port.empty()) return host;
  if (port.size() < 2 || port.size() > 6 || port.front() != ':') return std::nullopt;
  if (port.find_first_not_of("0123456789", 1) != std::string_view::npos) return std::nullopt;
  return host;
}

}  // namespace

bool is_usable_url(std::string_view url) noexcept {
  if (url.size() > most_url_bytes || url.find_first_of("#\"\\<>^`{|}") != std::string_view::npos ||
      !std::ranges::all_of(url, [](char c) { return c > ' ' && c <= '~'; }))
    return false;
  const bool is_secure = url.starts_with("https://");
  if (!is_secure && !url.starts_with("http://")) return false;
  url.remove_prefix(is_secure ? 8 : 7);
  const auto host = host_of(url.substr(0, url.find_first_of("/?")));
  if (!host) return false;
  return is_secure || host == "localhost" || host == "127.0.0.1" || host == "[::1]";
}

std::optional<Directory> parse_directory(std::string_view body) {
  const auto document = parse_object(body);
  if (!document) return std::nullopt;
  Directory directory;
  directory.new_nonce = url_member(*document, "newNonce");
  directory.new_account = url_member(*document, "newAccount");
  directory.new_order = url_member(*document, "newOrder");
  directory.revoke_certificate = url_member(*document, "revokeCert");
  directory.key_change = url_member(*document, "keyChange");
  directory.renewal_info = url_member(*document, "renewalInfo");
  if (directory.new_nonce.empty() || directory.new_account.empty() || directory.new_order.empty()) return std::nullopt;
  const auto meta = document->find("meta");
  if (meta == document->end() || !meta->is_object()) return directory;
  directory.terms_of_service = printable(string_member(*meta, "termsOfService"), most_url_bytes);
  const auto external = meta->find("externalAccountRequired");
  directory.wants_external_account = external != meta->end() && external->is_boolean() && external->get<bool>();
  const auto profiles = meta->find("profiles");
  if (profiles != meta->end() && profiles->is_object())
    for (const auto& [name, description] : profiles->items())
      if (description.is_string())
        directory.profiles.emplace(printable(name, 64), printable(description.get<std::string>(), 200));
  return directory;
}

std::optional<Order> parse_order(std::string_view body) {
  const auto document = parse_object(body);
  if (!document) return std::nullopt;
  Order order;
  order.status = status_member(*document);
  const auto identifiers = document->find("identifiers");
  if (identifiers != document->end() && identifiers->is_array())
    for (const Json& element : *identifiers)
      if (auto identifier = parse_identifier(element); identifier && order.identifiers.size() < most_names)
        order.identifiers.push_back(*std::move(identifier));
  for (std::string& url : strings_member(*document, "authorizations")) {
    if (!is_usable_url(url) || order.authorizations.size() == most_names) return std::nullopt;
    order.authorizations.push_back(std::move(url));
  }
  order.finalize = url_member(*document, "finalize");
  order.certificate = url_member(*document, "certificate");
  order.error = problem_member(*document);
  if (order.status == Status::unknown || order.finalize.empty() || order.authorizations.empty()) return std::nullopt;
  return order;
}

std::string_view challenge_name(ChallengeType type) noexcept {
  return std::ranges::find(challenge_names, type, &std::pair<std::string_view, ChallengeType>::second)->first;
}

std::optional<ChallengeType> challenge_type(std::string_view name) noexcept {
  const auto found = std::ranges::find(challenge_names, name, &std::pair<std::string_view, ChallengeType>::first);
  if (found == challenge_names.end()) return std::nullopt;
  return found->second;
}

std::optional<Authorization> parse_authorization(std::string_view body) {
  const auto document = parse_object(body);
  if (!document) return std::nullopt;
  Authorization authorization;
  authorization.status = status_member(*document);
  const auto identifier = document->find("identifier");
  if (authorization.status == Status::unknown || identifier == document->end()) return std::nullopt;
  auto parsed = parse_identifier(*identifier);
  if (!parsed) return std::nullopt;
  authorization.identifier = *std::move(parsed);
  const auto wildcard = document->find("wildcard");
  authorization.is_wildcard = wildcard != document->end() && wildcard->is_boolean() && wildcard->get<bool>();
  const auto challenges = document->find("challenges");
  if (challenges == document->end() || !challenges->is_array()) return authorization;
  for (const Json& element : *challenges) {
    if (!element.is_object() || authorization.challenges.size() == most_challenges) continue;
    const auto type = challenge_type(string_member(element, "type"));
    Challenge challenge;
    challenge.url = url_member(element, "url");
    challenge.token = string_member(element, "token");
    if (!type || challenge.url.empty() || !is_token(challenge.token)) continue;
    challenge.type = *type;
    challenge.status = status_member(element);
    challenge.error = problem_member(element);
    authorization.challenges.push_back(std::move(challenge));
  }
  return authorization;
}

std::optional<RenewalInfo> parse_renewal_info(std::string_view body) {
  const auto document = parse_object(body);
  if (!document) return std::nullopt;
  const auto window = document->find("suggestedWindow");
  if (window == document->end() || !window->is_object()) return std::nullopt;
  const auto start = from_rfc3339(string_member(*window, "start"));
  const auto end = from_rfc3339(string_member(*window, "end"));
  if (!start || !end || *end < *start) return std::nullopt;
  return RenewalInfo{*start, *end, printable(string_member(*document, "explanationURL"), most_url_bytes)};
}

}  // namespace gatehouse::acme
