// Dynamic updates of DNS; see dns_update.hpp.
#include "acme/dns_update.hpp"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <optional>
#include <stdexcept>

namespace gatehouse::acme {

namespace {

constexpr std::uint16_t type_soa = 6;
constexpr std::uint16_t type_txt = 16;
constexpr std::uint16_t type_tsig = 250;
constexpr std::uint16_t class_in = 1;
constexpr std::uint16_t class_none = 254;
constexpr std::uint16_t class_any = 255;
constexpr std::uint16_t opcode_update = 5 << 11;
constexpr std::uint16_t flag_response = 0x8000;
constexpr std::uint16_t fudge_seconds = 300;  // RFC 8945 section 10
constexpr std::size_t header_bytes = 12;
constexpr std::size_t mac_bytes = 32;
constexpr std::size_t most_message_bytes = 65'535;  // of which TCP can tell the length
constexpr std::string_view algorithm = "hmac-sha256";

void put16(std::string& out, std::size_t value) {
  out += static_cast<char>(value >> 8 & 0xFF);
  out += static_cast<char>(value & 0xFF);
}
void put32(std::string& out, std::uint32_t value) {
  put16(out, value >> 16);
  put16(out, value & 0xFFFF);
}
void put48(std::string& out, std::uint64_t value) {
  put16(out, value >> 32 & 0xFFFF);
  put32(out, static_cast<std::uint32_t>(value));
}

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// In wire form, lower case, never compressed (RFC 8945 section 4.3.3 wants it so for the digest).
void put_name(std::string& out, std::string_view name) {
  const std::size_t start = out.size();
  bool is_more = name != ".";  // the root has no labels
  if (name.size() > 1 && name.ends_with('.')) name.remove_suffix(1);
  while (is_more) {
    const std::size_t size = std::min(name.find('.'), name.size());
    if (size == 0 || size > 63) throw std::invalid_argument("not a DNS name: a label has 1 to 63 bytes");
    out += static_cast<char>(size);
    for (const char c : name.substr(0, size)) out += lower(c);
    is_more = size < name.size();
    name.remove_prefix(std::min(size + 1, name.size()));
  }
  out += '\0';
  if (out.size() - start > 255) throw std::invalid_argument("not a DNS name: it has more than 255 bytes");
}

// What the digest covers behind the message (RFC 8945 section 4.3.3).
std::string tsig_variables(std::string_view key_name, std::uint64_t signed_at, std::uint16_t fudge, std::uint16_t error,
                           std::string_view other) {
  std::string variables;
  put_name(variables, key_name);
  put16(variables, class_any);
  put32(variables, 0);  // TTL
  put_name(variables, algorithm);
  put48(variables, signed_at);
  put16(variables, fudge);
  put16(variables, error);
  put16(variables, other.size());
  variables += other;
  return variables;
}

// As Reader gives it.
std::string folded(std::string_view name) {
  if (name.ends_with('.')) name.remove_suffix(1);
  std::string text(name);
  for (char& c : text) c = lower(c);
  return text;
}

const char* code_text(unsigned code) noexcept {
  switch (code) {
    case 1: return "the DNS server did not understand the update (FORMERR)";
    case 2: return "the DNS server failed (SERVFAIL)";
    case 3: return "the DNS server knows no such name (NXDOMAIN)";
    case 4: return "the DNS server takes no updates (NOTIMP)";
    case 5: return "the DNS server refused the update (REFUSED); may the key change these names?";
    case 9: return "the DNS server is not authoritative for the zone, or does not know the key (NOTAUTH)";
    case 10: return "the name is not in the zone (NOTZONE)";
    case 16: return "the DNS server did not accept the signature (BADSIG); is it the right key?";
    case 17: return "the DNS server does not know the key (BADKEY)";
    case 18: return "the DNS server's clock differs by more than five minutes (BADTIME)";
    default: return "the DNS server gave an error";
  }
}

// Reads a message from front to back; `is_good` is false once something was missing.
class Reader {
 public:
  explicit Reader(std::string_view message) noexcept : message_(message) {}
  [[nodiscard]] std::size_t at() const noexcept { return at_; }
  [[nodiscard]] bool is_good() const noexcept { return is_good_; }

  std::uint64_t number(std::size_t bytes) noexcept {
    std::uint64_t value = 0;
    for (const char byte : take(bytes)) value = value << 8 | static_cast<unsigned char>(byte);
    return value;
  }
  std::string_view take(std::size_t bytes) noexcept {
    if (!is_good_ || message_.size() - at_ < bytes) {
      is_good_ = false;
      return {};
    }
    at_ += bytes;
    return message_.substr(at_ - bytes, bytes);
  }
  // Its text in lower case without the last dot; "" behind a compression pointer, which is only passed over.
  std::string name() {
    std::string text;
    for (;;) {
      const auto size = static_cast<unsigned>(number(1));
      if (!is_good_ || size == 0) return text;
      if (size >= 0xC0) {
        take(1);
        return {};
      }
      if (size > 63) is_good_ = false;
      if (!text.empty()) text += '.';
      for (const char c : take(size)) text += lower(c);
      if (text.size() > 255) is_good_ = false;
    }
  }

 private:
  std::string_view message_;
  std::size_t at_ = 0;
  bool is_good_ = true;
};

}  // namespace

DnsRequest dns_update(std::string_view zone, const std::vector<TxtChange>& changes, std::uint32_t ttl_seconds,
                      std::uint16_t id, const TsigKey& key, Time now) {
  std::string message;
  put16(message, id);
  put16(message, opcode_update);
  put16(message, 1);  // zone
  put16(message, 0);  // prerequisites
  put16(message, changes.size());
  put16(message, 0);  // additional, to which the signature will be added
  put_name(message, zone);
  put16(message, type_soa);
  put16(message, class_in);
  for (const TxtChange& change : changes) {
    if (change.value.size() > 255) throw std::invalid_argument("a TXT value has at most 255 bytes");
    put_name(message, change.name);
    put16(message, type_txt);
    put16(message, change.is_wanted ? class_in : class_none);  // RFC 2136 sections 2.5.1 and 2.5.4
    put32(message, change.is_wanted ? ttl_seconds : 0);
    put16(message, change.value.size() + 1);
    message += static_cast<char>(change.value.size());
    message += change.value;
  }

  const auto signed_at = static_cast<std::uint64_t>(now.time_since_epoch().count());
  const std::string mac =
      hmac_sha256(key.secret.reveal(), message + tsig_variables(key.name, signed_at, fudge_seconds, 0, {}));
  std::string data;
  put_name(data, algorithm);
  put48(data, signed_at);
  put16(data, fudge_seconds);
  put16(data, mac.size());
  data += mac;
  put16(data, id);
  put16(data, 0);  // error
  put16(data, 0);  // other data
  message[11] = 1;
  put_name(message, key.name);
  put16(message, type_tsig);
  put16(message, class_any);
  put32(message, 0);
  put16(message, data.size());
  message += data;
  if (message.size() > most_message_bytes) throw std::invalid_argument("too many changes for one DNS message");
  return {std::move(message), mac};
}

std::expected<void, std::string> read_update_answer(std::string_view message, std::uint16_t id,
                                                    std::string_view request_mac, const TsigKey& key, Time now) {
  const auto nonsense = std::unexpected(std::string("what the DNS server answered cannot be read"));
  Reader reader(message);
  const auto answer_id = static_cast<std::uint16_t>(reader.number(2));
  const auto flags = static_cast<std::uint16_t>(reader.number(2));
  std::array<std::uint64_t, 4> counts{};
  for (std::uint64_t& count : counts) count = reader.number(2);
  if (!reader.is_good() || answer_id != id || (flags & flag_response) == 0 || (flags & 0x7800) != opcode_update)
    return nonsense;
  const unsigned code = flags & 0x0F;
  for (std::uint64_t i = 0; i < counts[0] && reader.is_good(); ++i) {
    (void)reader.name();
    reader.take(4);
  }
  const std::uint64_t records = counts[1] + counts[2] + counts[3];
  std::size_t tsig_at = message.size();
  std::string owner;
  std::uint64_t type = 0;
  std::string_view data;
  for (std::uint64_t i = 0; i < records && reader.is_good(); ++i) {
    tsig_at = reader.at();
    owner = reader.name();
    type = reader.number(2);
    reader.take(6);
    data = reader.take(static_cast<std::size_t>(reader.number(2)));
  }
  if (!reader.is_good() || reader.at() != message.size()) return nonsense;

  // The signature is the last record. A server that does not know the key cannot sign.
  if (type != type_tsig || counts[3] == 0)
    return std::unexpected(code != 0 ? code_text(code) : "what the DNS server answered is not signed");
  Reader tsig(data);
  const std::string used = tsig.name();
  const std::uint64_t signed_at = tsig.number(6);
  const auto fudge = static_cast<std::uint16_t>(tsig.number(2));
  const std::string_view mac = tsig.take(static_cast<std::size_t>(tsig.number(2)));
  const auto original_id = static_cast<std::uint16_t>(tsig.number(2));
  const auto error = static_cast<std::uint16_t>(tsig.number(2));
  const std::string_view other = tsig.take(static_cast<std::size_t>(tsig.number(2)));
  if (!tsig.is_good() || tsig.at() != data.size()) return nonsense;
  if (error != 0 && mac.empty()) return std::unexpected(code_text(error));

  std::string covered;
  put16(covered, request_mac.size());
  covered += request_mac;
  put16(covered, original_id);
  covered += message.substr(2, header_bytes - 4);
  put16(covered, counts[3] - 1);
  covered += message.substr(header_bytes, tsig_at - header_bytes);
  covered += tsig_variables(key.name, signed_at, fudge, error, other);
  const std::string expected = hmac_sha256(key.secret.reveal(), covered);
  // The digest covers the key's name, so that one behind a pointer need not be followed.
  const bool is_of_the_key = owner.empty() || owner == folded(key.name);
  if (used != algorithm || !is_of_the_key || mac.size() != mac_bytes ||
      CRYPTO_memcmp(mac.data(), expected.data(), mac_bytes) != 0)
    return std::unexpected("what the DNS server answered is not signed with the key");
  const std::int64_t difference = static_cast<std::int64_t>(signed_at) - now.time_since_epoch().count();
  if (error != 0) return std::unexpected(code_text(error));
  if (difference > fudge_seconds || difference < -std::int64_t{fudge_seconds}) return std::unexpected(code_text(18));
  if (code != 0) return std::unexpected(code_text(code));
  return {};
}

}  // namespace gatehouse::acme
