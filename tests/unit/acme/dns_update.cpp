// acme/dns_update.hpp: updates byte for byte, and what a DNS server may answer to them (RFC 2136, RFC 8945).
#include "acme/dns_update.hpp"

#include <gmock/gmock.h>

#include <stdexcept>
#include <utility>

namespace gatehouse::acme {
namespace {

using ::testing::HasSubstr;

constexpr Time now{Seconds(1'796'000'000)};  // 0x6B0CC900
constexpr std::uint16_t id = 0x1234;

TsigKey key_named(std::string name, std::string secret = "0123456789abcdef0123456789abcdef") {
  return {std::move(name), Secret(std::move(secret))};
}

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  return bytes;
}

std::string number(std::uint64_t value, int bytes) {
  std::string out;
  while (bytes-- > 0) out += static_cast<char>(value >> (8 * bytes) & 0xFF);
  return out;
}

/// "\7example\3com" for "example.com".
std::string wire(std::string_view name) {
  std::string out;
  while (!name.empty()) {
    const std::string_view label = name.substr(0, name.find('.'));
    out += number(label.size(), 1) + std::string(label);
    name.remove_prefix(std::min(label.size() + 1, name.size()));
  }
  return out + '\0';
}

std::string record(const std::string& owner, unsigned type, unsigned class_of, std::uint32_t ttl,
                   const std::string& data) {
  return owner + number(type, 2) + number(class_of, 2) + number(ttl, 4) + number(data.size(), 2) + data;
}

std::string text(std::string_view value) { return number(value.size(), 1) + std::string(value); }

DnsRequest update_of(const std::vector<TxtChange>& changes) {
  return dns_update("example.com", changes, 60, id, key_named("gatehouse"), now);
}

// --- updates

TEST(DnsUpdate, AddsAndDeletesInASignedMessage) {
  const DnsRequest request =
      dns_update("Example.com.",
                 {{"_acme-challenge.Shop.example.com", "new"}, {"_acme-challenge.shop.example.com.", "old", false}}, 60,
                 id, key_named("Gatehouse."), now);
  const std::string owner = wire("_acme-challenge.shop.example.com");
  // Opcode 5; one zone, no prerequisites, two changes, and the signature.
  const std::string body = wire("example.com") + number(6, 2) + number(1, 2) + record(owner, 16, 1, 60, text("new")) +
                           record(owner, 16, 254, 0, text("old"));
  const std::string unsigned_message = from_hex(
                                           "1234"
                                           "2800"
                                           "0001"
                                           "0000"
                                           "0002"
                                           "0000") +
                                       body;
  const std::string when = number(0x6B0CC900, 6) + number(300, 2);
  const std::string mac = hmac_sha256("0123456789abcdef0123456789abcdef",
                                      unsigned_message + wire("gatehouse") + number(255, 2) + number(0, 4) +
                                          wire("hmac-sha256") + when + number(0, 2) + number(0, 2));
  EXPECT_EQ(mac, from_hex("da05c61f7bf058d731899ba1531486a20287c5d172c0f364d3af727286f62302"));
  EXPECT_EQ(request.mac, mac);
  EXPECT_EQ(request.message,
            from_hex("1234"
                     "2800"
                     "0001"
                     "0000"
                     "0002"
                     "0001") +
                body +
                record(wire("gatehouse"), 250, 255, 0,
                       wire("hmac-sha256") + when + number(32, 2) + mac + number(id, 2) + number(0, 2) + number(0, 2)));
}

TEST(DnsUpdate, TakesTheLongestNamesAndValues) {
  const std::string label(63, 'a');
  const std::string longest = label + "." + label + "." + label + "." + std::string(61, 'a');  // 255 bytes
  const DnsRequest request = update_of({{longest, std::string(255, 'v')}});
  EXPECT_THAT(request.message, HasSubstr(record(wire(longest), 16, 1, 60, text(std::string(255, 'v')))));
  EXPECT_THAT(update_of({{longest + ".", "v"}}).message, HasSubstr(wire(longest)));
  EXPECT_NO_THROW(static_cast<void>(dns_update(".", {}, 60, id, key_named("k"), now)));
}

TEST(DnsUpdate, RefusesWhatIsNoName) {
  const std::string label(63, 'a');
  for (const std::string& name :
       {std::string(), std::string(".."), std::string(".example.com"), std::string("a..example.com"),
        std::string("a.example.com.."), std::string(64, 'a') + ".example.com",
        label + "." + label + "." + label + "." + std::string(62, 'a')}) {
    EXPECT_THROW(static_cast<void>(update_of({{name, "value"}})), std::invalid_argument) << name;
    EXPECT_THROW(static_cast<void>(dns_update(name, {}, 60, id, key_named("k"), now)), std::invalid_argument) << name;
    EXPECT_THROW(static_cast<void>(dns_update("example.com", {}, 60, id, key_named(name), now)), std::invalid_argument)
        << name;
  }
}

TEST(DnsUpdate, RefusesLongValuesAndMoreThanAMessageHolds) {
  EXPECT_THROW(static_cast<void>(update_of({{"a.example.com", std::string(256, 'v')}})), std::invalid_argument);
  const TxtChange change{"a.example.com", std::string(230, 'v')};
  EXPECT_LE(update_of(std::vector<TxtChange>(250, change)).message.size(), 65'535U);
  EXPECT_THROW(static_cast<void>(update_of(std::vector<TxtChange>(260, change))), std::invalid_argument);
}

// --- answers

/// What a server answers; the members say in what it is not the right answer.
struct Answer {
  unsigned answered_id = id;
  unsigned flags = 0xA800;  // of a response to an update
  unsigned code = 0;
  std::string records;  // before the signature, `count` of them
  unsigned count = 0;
  std::string owner = wire("gatehouse");
  std::string secret = "0123456789abcdef0123456789abcdef";
  std::string digest_name = "hmac-sha256";
  std::uint64_t signed_at = 0x6B0CC900;
  unsigned error = 0;
  std::string other;
  bool has_mac = true;

  /// Without the signature.
  [[nodiscard]] std::string bare(unsigned additional) const {
    return number(answered_id, 2) + number(flags | code, 2) + number(1, 2) + number(0, 2) + number(count, 2) +
           number(additional, 2) + wire("example.com") + number(6, 2) + number(1, 2) + records;
  }
  [[nodiscard]] std::string signed_for(const DnsRequest& request) const {
    const std::string when = number(signed_at, 6) + number(300, 2);
    const std::string rest = number(error, 2) + number(other.size(), 2) + other;
    const std::string mac =
        hmac_sha256(secret, number(request.mac.size(), 2) + request.mac + bare(0) + wire("gatehouse") + number(255, 2) +
                                number(0, 4) + wire("hmac-sha256") + when + rest);
    return bare(1) + record(owner, 250, 255, 0,
                            wire(digest_name) + when + (has_mac ? number(32, 2) + mac : number(0, 2)) +
                                number(answered_id, 2) + rest);
  }
};

class DnsUpdateAnswer : public ::testing::Test {
 protected:
  /// "" where the zone is updated.
  [[nodiscard]] std::string read(const std::string& message) const {
    const auto result = read_update_answer(message, id, request.mac, key, now);
    return result ? "" : result.error();
  }
  [[nodiscard]] std::string read(const Answer& answer) const { return read(answer.signed_for(request)); }

  const TsigKey key = key_named("Gatehouse");
  const DnsRequest request = update_of({{"_acme-challenge.example.com", "new"}});
};

TEST_F(DnsUpdateAnswer, IsAcceptedWithASignatureOfTheKey) {
  EXPECT_EQ(read(Answer{}), "");
  EXPECT_EQ(read(Answer{.owner = wire("GateHouse")}), "");
  EXPECT_EQ(read(Answer{.records = record(wire("a.example.com"), 16, 1, 60, text("new")), .count = 1}), "");
}

// Recorded from BIND 9.18.
TEST_F(DnsUpdateAnswer, OfBindIsAccepted) {
  const std::string message = from_hex(
      "1234a8000001000000000001076578616d706c6503636f6d00000600010967617465686f7573650000fa00ff00000000003d0b686d61632d"
      "7368613235360000006b0c2ea8012c002060846cb7777bb0fe552c3e70711d12b7cf9b6a2d57cc7414a15ab5c95141960f123400000000");
  const std::string mac = from_hex("70d8efcb1b355c426eb130103f1823ee042e356f79df27fbce649d6dd6f19840");
  EXPECT_TRUE(read_update_answer(message, id, mac, key, Time(Seconds(1'795'960'488))));
}

TEST_F(DnsUpdateAnswer, MayPointBackForTheNameOfTheKey) {
  // The zone's name is what a key's could share (RFC 1035 section 4.1.4); the signature says whose key it is.
  EXPECT_EQ(
      read(Answer{.records = record(wire("gatehouse"), 16, 1, 60, text("new")), .count = 1, .owner = from_hex("c01d")}),
      "");
}

TEST_F(DnsUpdateAnswer, OfSomethingElseIsRefused) {
  const std::string unreadable = "what the DNS server answered cannot be read";
  EXPECT_EQ(read(Answer{.answered_id = id + 1}), unreadable);
  EXPECT_EQ(read(Answer{.flags = 0x2800}), unreadable);  // a request
  EXPECT_EQ(read(Answer{.flags = 0x8000}), unreadable);  // to a query
  EXPECT_EQ(read(request.message), unreadable);
}

TEST_F(DnsUpdateAnswer, CutAnywhereIsRefused) {
  const std::string whole = Answer{}.signed_for(request);
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_EQ(read(whole.substr(0, size)), "what the DNS server answered cannot be read") << size;
  EXPECT_EQ(read(whole + '\0'), "what the DNS server answered cannot be read");
}

TEST_F(DnsUpdateAnswer, ChangedAnywhereIsRefused) {
  const std::string whole = Answer{}.signed_for(request);
  const std::size_t owner_end = Answer{}.bare(1).size() + wire("gatehouse").size();
  for (std::size_t at = 0; at < whole.size(); ++at) {
    // Class and TTL of the signature are the same in every message; nothing is read from them (RFC 8945 section 4.2).
    if (at >= owner_end + 2 && at < owner_end + 8) continue;
    std::string changed = whole;
    changed[at] = static_cast<char>(changed[at] ^ 1);
    EXPECT_NE(read(changed), "") << at;
  }
}

TEST_F(DnsUpdateAnswer, SignedByAnotherKeyIsRefused) {
  const std::string other = "what the DNS server answered is not signed with the key";
  EXPECT_EQ(read(Answer{.secret = "another"}), other);
  EXPECT_EQ(read(Answer{.owner = wire("other")}), other);
  EXPECT_EQ(read(Answer{.digest_name = "hmac-sha1"}), other);
  EXPECT_EQ(read(Answer{.has_mac = false}), other);
}

TEST_F(DnsUpdateAnswer, ToAnotherRequestIsRefused) {
  const DnsRequest other = update_of({{"_acme-challenge.example.com", "other"}});
  EXPECT_EQ(read(Answer{}.signed_for(other)), "what the DNS server answered is not signed with the key");
}

TEST_F(DnsUpdateAnswer, WithoutASignatureIsRefused) {
  EXPECT_EQ(read(Answer{}.bare(0)), "what the DNS server answered is not signed");
  // A signature is the last record, among the additional ones.
  const std::string signature = Answer{}.signed_for(request).substr(Answer{}.bare(1).size());
  EXPECT_EQ(read(Answer{.records = signature, .count = 1}.bare(0)), "what the DNS server answered is not signed");
  EXPECT_EQ(read(Answer{}.bare(2) + signature + record(wire("a"), 16, 1, 60, text("v"))),
            "what the DNS server answered is not signed");
}

TEST_F(DnsUpdateAnswer, SaysWhatTheServerDidNotLike) {
  for (const auto& [code, words] : std::vector<std::pair<unsigned, const char*>>{{1, "FORMERR"},
                                                                                 {2, "SERVFAIL"},
                                                                                 {3, "NXDOMAIN"},
                                                                                 {4, "NOTIMP"},
                                                                                 {5, "REFUSED"},
                                                                                 {9, "NOTAUTH"},
                                                                                 {10, "NOTZONE"},
                                                                                 {7, "gave an error"}}) {
    EXPECT_THAT(read(Answer{.code = code}), HasSubstr(words));
    EXPECT_THAT(read(Answer{.code = code}.bare(0)), HasSubstr(words));  // servers that do not know the key sign nothing
  }
}

TEST_F(DnsUpdateAnswer, SaysWhatTheServerDidNotLikeInTheSignature) {
  EXPECT_THAT(read(Answer{.code = 9, .error = 16, .has_mac = false}), HasSubstr("BADSIG"));
  EXPECT_THAT(read(Answer{.code = 9, .error = 17, .has_mac = false}), HasSubstr("BADKEY"));
  EXPECT_THAT(read(Answer{.code = 9, .error = 18, .other = number(0x6B0CD900, 6)}), HasSubstr("BADTIME"));
}

TEST_F(DnsUpdateAnswer, IsRefusedMoreThanFiveMinutesFromNow) {
  EXPECT_EQ(read(Answer{.signed_at = 0x6B0CC900 - 300}), "");
  EXPECT_EQ(read(Answer{.signed_at = 0x6B0CC900 + 300}), "");
  for (const std::uint64_t signed_at : {std::uint64_t{0x6B0CC900 - 301}, std::uint64_t{0x6B0CC900 + 301},
                                        std::uint64_t{0}, std::uint64_t{0xFFFF'FFFF'FFFF}})
    EXPECT_THAT(read(Answer{.signed_at = signed_at}), HasSubstr("BADTIME")) << signed_at;
}

}  // namespace
}  // namespace gatehouse::acme
