// Stored records; see records.hpp.
#include "acme/records.hpp"

#include "acme/base64url.hpp"
#include "acme/json.hpp"

namespace gatehouse::acme {
namespace {

constexpr std::string_view second_suffix = "+2";
constexpr int format = 1;  // of the records; readers refuse a newer one

Json begin() { return {{"format", format}}; }

std::optional<Json> open(std::string_view text) {
  auto object = parse_object(text);
  if (!object) return std::nullopt;
  const auto found = object->find("format");
  if (found == object->end() || !found->is_number_integer() || found->get<std::int64_t>() != format)
    return std::nullopt;
  return object;
}

void put(Json& object, const char* name, const std::string& text) {
  if (!text.empty()) object[name] = text;
}
void put(Json& object, const char* name, const Secret& secret) {
  if (!secret.empty()) object[name] = secret.reveal();
}
void put(Json& object, const char* name, Time time) {
  if (time != Time{}) object[name] = time.time_since_epoch().count();
}

template <class Number>
Number number(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number_integer() ? found->get<Number>() : Number{};
}
Time time_member(const Json& object, const char* name) { return Time(Seconds(number<std::int64_t>(object, name))); }

Json facts_json(const CertificateFacts& facts) {
  Json object = {{"not_before", facts.not_before.time_since_epoch().count()},
                 {"not_after", facts.not_after.time_since_epoch().count()}};
  Json& names = object["names"] = Json::array();
  for (const Identifier& name : facts.names)
    names.push_back({{"ip", name.type == Identifier::Type::ip}, {"value", name.value}});
  put(object, "issuer", facts.issuer);
  put(object, "top_issuer", facts.top_issuer);
  put(object, "serial", facts.serial);
  put(object, "renewal_id", facts.renewal_id);
  return object;
}

// What was stored with the chain, or is in it; std::nullopt where it is no chain.
std::optional<CertificateFacts> facts_of(const Json& record, const std::string& chain) {
  const auto stored = record.find("facts");
  if (stored == record.end() || !stored->is_object()) {
    auto read = read_chain(chain);
    return read ? std::optional(*std::move(read)) : std::nullopt;
  }
  CertificateFacts facts;
  facts.not_before = time_member(*stored, "not_before");
  facts.not_after = time_member(*stored, "not_after");
  if (const auto names = stored->find("names"); names != stored->end() && names->is_array())
    for (const Json& name : *names) {
      if (!name.is_object()) continue;
      const auto ip = name.find("ip");
      const bool is_ip = ip != name.end() && ip->is_boolean() && ip->get<bool>();
      facts.names.push_back({is_ip ? Identifier::Type::ip : Identifier::Type::dns, string_member(name, "value")});
    }
  facts.issuer = string_member(*stored, "issuer");
  facts.top_issuer = string_member(*stored, "top_issuer");
  facts.serial = string_member(*stored, "serial");
  facts.renewal_id = string_member(*stored, "renewal_id");
  return facts;
}

// The text, and what the JSON library made on its way to it: the copies of keys are wiped with the values.
std::string written(Json object) {
  std::string text = object.dump(-1, ' ', false, Json::error_handler_t::replace);
  for (auto& member : object) {
    if (auto* const value = member.get_ptr<std::string*>()) Secret(std::move(*value));
  }
  return text;
}

}  // namespace

std::string account_item(std::string_view directory_url) { return "account/" + base64url(sha256(directory_url)); }

std::string CertificateName::item() const {
  return std::string(certificate_prefix) + host.value + (is_second ? std::string(second_suffix) : std::string());
}

CertificateName CertificateName::of_item(std::string_view item) {
  item.remove_prefix(certificate_prefix.size());
  const bool is_second = item.ends_with(second_suffix);
  if (is_second) item.remove_suffix(second_suffix.size());
  return {identifier_of(item), is_second};
}

std::string write_account(const AccountRecord& record) {
  Json object = begin();
  put(object, "key", record.key);
  put(object, "url", record.url);
  put(object, "next_key", record.next_key);
  return written(std::move(object));
}

std::optional<AccountRecord> read_account(std::string_view text) {
  const auto object = open(text);
  if (!object) return std::nullopt;
  AccountRecord record;
  record.key = Secret(string_member(*object, "key"));
  record.url = string_member(*object, "url");
  record.next_key = Secret(string_member(*object, "next_key"));
  if (record.key.empty()) return std::nullopt;
  return record;
}

std::string write_certificate(const CertificateRecord& record) {
  Json object = begin();
  put(object, "chain", record.chain);
  put(object, "key", record.key);
  if (record.facts) object["facts"] = facts_json(*record.facts);
  put(object, "authority", record.authority);
  put(object, "key_type", record.key_type);
  put(object, "profile", record.profile);
  put(object, "rehearsed", record.rehearsed);
  put(object, "renew_at", record.renew_at);
  put(object, "issued_at", record.issued_at);
  put(object, "ask_at", record.ask_at);
  if (record.window != 0) object["window"] = record.window;
  if (record.progress) {
    put(object, "order", record.progress->order);
    put(object, "order_key", record.progress->key);
    put(object, "order_profile", record.progress->profile);
    put(object, "order_authority", record.progress_authority);
  }
  if (record.failures != 0) object["failures"] = record.failures;
  put(object, "next_attempt", record.next_attempt);
  put(object, "last_error", record.last_error);
  put(object, "last_error_at", record.last_error_at);
  if (record.renew_now) object["renew_now"] = true;
  if (record.revoke) object["revoke"] = *record.revoke;
  return written(std::move(object));
}

std::optional<CertificateRecord> read_certificate(std::string_view text) {
  const auto object = open(text);
  if (!object) return std::nullopt;
  CertificateRecord record;
  record.chain = string_member(*object, "chain");
  record.key = Secret(string_member(*object, "key"));
  if (!record.chain.empty()) record.facts = facts_of(*object, record.chain);
  record.authority = string_member(*object, "authority");
  record.key_type = string_member(*object, "key_type");
  record.profile = string_member(*object, "profile");
  record.rehearsed = string_member(*object, "rehearsed");
  record.renew_at = time_member(*object, "renew_at");
  record.issued_at = time_member(*object, "issued_at");
  record.ask_at = time_member(*object, "ask_at");
  record.window = number<std::uint64_t>(*object, "window");
  if (Progress progress{string_member(*object, "order"), Secret(string_member(*object, "order_key")),
                        string_member(*object, "order_profile")};
      !progress.key.empty()) {
    record.progress.emplace(std::move(progress));
    record.progress_authority = string_member(*object, "order_authority");
  }
  record.failures = number<unsigned>(*object, "failures");
  record.next_attempt = time_member(*object, "next_attempt");
  record.last_error = string_member(*object, "last_error");
  record.last_error_at = time_member(*object, "last_error_at");
  const auto renew = object->find("renew_now");
  record.renew_now = renew != object->end() && renew->is_boolean() && renew->get<bool>();
  if (object->contains("revoke")) record.revoke = number<int>(*object, "revoke");
  return record;
}

std::string write_challenges(const std::vector<Presentation>& presentations) {
  Json object = begin();
  Json& list = object["challenges"] = Json::array();
  for (const Presentation& presentation : presentations)
    list.push_back({{"type", challenge_name(presentation.type)},
                    {"ip", presentation.identifier.type == Identifier::Type::ip},
                    {"name", presentation.identifier.value},
                    {"token", presentation.token},
                    {"answer", presentation.key_authorization}});
  return written(std::move(object));
}

std::optional<std::vector<Presentation>> read_challenges(std::string_view text) {
  const auto object = open(text);
  if (!object) return std::nullopt;
  std::vector<Presentation> presentations;
  const auto list = object->find("challenges");
  if (list == object->end() || !list->is_array()) return std::nullopt;
  for (const Json& item : *list) {
    if (!item.is_object()) return std::nullopt;
    const auto type = challenge_type(string_member(item, "type"));
    if (!type) continue;  // of a newer gateway
    Presentation presentation;
    presentation.type = *type;
    const auto ip = item.find("ip");
    if (ip != item.end() && ip->is_boolean() && ip->get<bool>()) presentation.identifier.type = Identifier::Type::ip;
    presentation.identifier.value = string_member(item, "name");
    presentation.token = string_member(item, "token");
    presentation.key_authorization = string_member(item, "answer");
    presentations.push_back(std::move(presentation));
  }
  return presentations;
}

}  // namespace gatehouse::acme
