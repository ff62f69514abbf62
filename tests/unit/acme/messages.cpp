// acme/messages.hpp: each reader with what is good, with each part missing, and with what a hostile CA sends.
#include "acme/messages.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace gatehouse::acme {
namespace {

using nlohmann::json;
using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;
using ::testing::SizeIs;

const std::string token = "evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA";

json directory() {
  return {{"newNonce", "https://ca.test/nonce"},
          {"newAccount", "https://ca.test/account"},
          {"newOrder", "https://ca.test/order"},
          {"revokeCert", "https://ca.test/revoke"},
          {"keyChange", "https://ca.test/key"},
          {"renewalInfo", "https://ca.test/ari"},
          {"meta",
           {{"termsOfService", "https://ca.test/terms"},
            {"externalAccountRequired", true},
            {"profiles", {{"classic", "as ever"}, {"shortlived", "six days"}, {"odd", 7}}}}}};
}

json order() {
  return {{"status", "pending"},
          {"identifiers", {{{"type", "dns"}, {"value", "Example.COM"}}, {{"type", "ip"}, {"value", "192.0.2.7"}}}},
          {"authorizations", {"https://ca.test/authz/1", "https://ca.test/authz/2"}},
          {"finalize", "https://ca.test/order/1/finalize"}};
}

json authorization() {
  return {{"status", "pending"},
          {"identifier", {{"type", "dns"}, {"value", "example.com"}}},
          {"challenges",
           {{{"type", "http-01"}, {"status", "pending"}, {"url", "https://ca.test/chall/1"}, {"token", token}},
            {{"type", "dns-01"}, {"status", "processing"}, {"url", "https://ca.test/chall/2"}, {"token", token}}}}};
}

json renewal() {
  return {{"suggestedWindow", {{"start", "2026-11-29T12:00:00Z"}, {"end", "2026-11-30T12:00:00Z"}}},
          {"explanationURL", "https://ca.test/why"}};
}

/// Values that are of no member's type, or that no member should hold.
std::vector<json> hostile_values() {
  return {nullptr,
          true,
          0,
          -1,
          1e300,
          "",
          "x",
          json::array(),
          json::object(),
          json::array({nullptr}),
          "https://",
          "http://ca.test/",
          "file:///etc/passwd",
          std::string(10'000, 'a'),
          "https://ca.test/" + std::string(3'000, 'a'),
          json::array({json::array({json::object()})})};
}

/// Puts each hostile value in the place of each member, however deep. What is read all the same, and not `fit` for use.
template <class Reader, class Fit>
std::vector<json> unfit_when_spoiled(const json& good, Reader reader, Fit fit) {
  std::vector<json> unfit;
  const json flat = good.flatten();
  for (const auto& [path, value] : flat.items()) {
    for (json::json_pointer at(path); !at.empty(); at = at.parent_pointer())
      for (const json& hostile : hostile_values()) {
        json spoiled = good;
        spoiled[at] = hostile;
        const auto read = reader(spoiled.dump());
        if (read && !fit(*read)) unfit.push_back(std::move(spoiled));
      }
  }
  return unfit;
}

TEST(UsableUrl, IsOfHttpsOrOfALoopbackAddress) {
  for (const char* const url : {"https://ca.test", "https://ca.test:14000/dir?x=1", "https://[2001:db8::1]/",
                                "http://localhost:4000/dir", "http://127.0.0.1/", "http://[::1]:80/"})
    EXPECT_TRUE(is_usable_url(url)) << url;
}

TEST(UsableUrl, IsNothingElse) {
  for (const char* const url : {"",
                                "https://",
                                "https:///x",
                                "http://ca.test/",
                                "HTTPS://ca.test/",
                                "ftp://ca.test/",
                                "//ca.test/",
                                "/dir",
                                "https://user@ca.test/",
                                "https://ca.test/#x",
                                "https://ca.test/ x",
                                "https://ca.test/\n",
                                "https://ca.test/\xff",
                                "https://ca.test\\@evil.test/",
                                "http://localhost.evil.test/",
                                "http://127.0.0.1.evil.test/",
                                "http://[::2]/",
                                "http://[::1]evil.test/",
                                "http://[::1",
                                "https://ca.test:/",
                                "https://ca.test:http/",
                                "https://ca.test:123456/",
                                "http://localhost:80:80/",
                                "https://:443/",
                                "https://?x",
                                "https://ca.test/{a}"})
    EXPECT_FALSE(is_usable_url(url)) << url;
  EXPECT_TRUE(is_usable_url("https://ca.test/" + std::string(2032, 'a')));
  EXPECT_FALSE(is_usable_url("https://ca.test/" + std::string(2033, 'a')));
}

TEST(ParseDirectory, ReadsAllMembers) {
  const auto read = parse_directory(directory().dump());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->new_nonce, "https://ca.test/nonce");
  EXPECT_EQ(read->new_account, "https://ca.test/account");
  EXPECT_EQ(read->new_order, "https://ca.test/order");
  EXPECT_EQ(read->revoke_certificate, "https://ca.test/revoke");
  EXPECT_EQ(read->key_change, "https://ca.test/key");
  EXPECT_EQ(read->renewal_info, "https://ca.test/ari");
  EXPECT_EQ(read->terms_of_service, "https://ca.test/terms");
  EXPECT_TRUE(read->wants_external_account);
  EXPECT_THAT(read->profiles, ElementsAre(Pair("classic", "as ever"), Pair("shortlived", "six days")));
}

TEST(ParseDirectory, NeedsThreeUrlsAndNoMore) {
  for (const char* const name : {"newNonce", "newAccount", "newOrder"}) {
    json without = directory();
    without.erase(name);
    EXPECT_FALSE(parse_directory(without.dump())) << name;
    without[name] = "http://ca.test/plain";
    EXPECT_FALSE(parse_directory(without.dump())) << name;
  }
  for (const char* const name : {"revokeCert", "keyChange", "renewalInfo", "meta"}) {
    json without = directory();
    without.erase(name);
    EXPECT_TRUE(parse_directory(without.dump())) << name;
  }
}

TEST(ParseDirectory, LeavesOutWhatMayNotBeAsked) {
  json plain = directory();
  plain["renewalInfo"] = "http://ca.test/ari";
  EXPECT_EQ(parse_directory(plain.dump()).value().renewal_info, "");
}

TEST(ParseOrder, ReadsAllMembers) {
  const auto read = parse_order(order().dump());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->status, Status::pending);
  EXPECT_THAT(read->identifiers, ElementsAre(Identifier{Identifier::Type::dns, "example.com"},
                                             Identifier{Identifier::Type::ip, "192.0.2.7"}));
  EXPECT_THAT(read->authorizations, ElementsAre("https://ca.test/authz/1", "https://ca.test/authz/2"));
  EXPECT_EQ(read->finalize, "https://ca.test/order/1/finalize");
  EXPECT_EQ(read->certificate, "");
  EXPECT_FALSE(read->error);
}

TEST(ParseOrder, ReadsItsErrorAndItsCertificate) {
  json failed = order();
  failed["certificate"] = "https://ca.test/cert/1";
  failed["error"] = {{"type", "urn:ietf:params:acme:error:caa"}, {"detail", "no"}, {"status", 403}};
  const auto read = parse_order(failed.dump());
  ASSERT_TRUE(read && read->error);
  EXPECT_EQ(read->certificate, "https://ca.test/cert/1");
  EXPECT_EQ(read->error->type, ProblemType::caa);
  EXPECT_EQ(read->error->status, 403);
  failed["error"]["status"] = 18'446'744'073'709'551'111ULL;
  EXPECT_EQ(parse_order(failed.dump()).value().error->status, 0);
}

TEST(ParseOrder, NeedsStatusAuthorizationsAndAPlaceToFinalize) {
  for (const char* const name : {"status", "authorizations", "finalize"}) {
    json without = order();
    without.erase(name);
    EXPECT_FALSE(parse_order(without.dump())) << name;
  }
  for (const auto& [name, value] : std::vector<std::pair<std::string, json>>{{"status", "done"},
                                                                             {"authorizations", json::array()},
                                                                             {"authorizations", {"http://ca.test/1"}},
                                                                             {"finalize", "http://ca.test/f"}}) {
    json spoiled = order();
    spoiled[name] = value;
    EXPECT_FALSE(parse_order(spoiled.dump())) << name << value;
  }
}

TEST(ParseOrder, TakesAThousandAuthorizationsAndNoMore) {
  json many = order();
  many["authorizations"] = json::array();
  for (int i = 0; i < 1000; ++i) many["authorizations"].push_back("https://ca.test/" + std::to_string(i));
  EXPECT_TRUE(parse_order(many.dump()));
  many["authorizations"].push_back("https://ca.test/x");
  EXPECT_FALSE(parse_order(many.dump()));
}

TEST(ParseAuthorization, ReadsAllMembers) {
  json whole = authorization();
  whole["wildcard"] = true;
  whole["challenges"][0]["error"] = {{"type", "urn:ietf:params:acme:error:connection"}};
  const auto read = parse_authorization(whole.dump());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->status, Status::pending);
  EXPECT_EQ(read->identifier, (Identifier{Identifier::Type::dns, "example.com"}));
  EXPECT_TRUE(read->is_wildcard);
  ASSERT_THAT(read->challenges, SizeIs(2));
  EXPECT_EQ(read->challenges[0].type, ChallengeType::http_01);
  EXPECT_EQ(read->challenges[0].url, "https://ca.test/chall/1");
  EXPECT_EQ(read->challenges[0].token, token);
  EXPECT_EQ(read->challenges[0].error.value().type, ProblemType::connection);
  EXPECT_EQ(read->challenges[1].status, Status::processing);
}

TEST(ParseAuthorization, NeedsStatusAndIdentifier) {
  for (const char* const name : {"status", "identifier"}) {
    json without = authorization();
    without.erase(name);
    EXPECT_FALSE(parse_authorization(without.dump())) << name;
  }
  for (const json& identifier : {json{{"type", "email"}, {"value", "a@example.com"}}, json{{"type", "dns"}},
                                 json{{"type", "dns"}, {"value", ""}}, json{{"type", "dns"}, {"value", "a\nb"}},
                                 json{{"type", "dns"}, {"value", std::string(254, 'a')}}}) {
    json spoiled = authorization();
    spoiled["identifier"] = identifier;
    EXPECT_FALSE(parse_authorization(spoiled.dump())) << identifier;
  }
}

TEST(ParseAuthorization, TakesNamesAndAddressesThatAreOnes) {
  for (const auto& [type, value] :
       std::vector<std::pair<std::string, std::string>>{{"ip", "not an address"},
                                                        {"ip", "192.0.2.07"},
                                                        {"ip", "192.0.2.7/32"},
                                                        {"ip", "[2001:db8::7]"},
                                                        {"ip", "www.example.com"},
                                                        {"ip", ""},
                                                        {"dns", std::string(64, 'x') + ".test"},
                                                        {"dns", "a..test"},
                                                        {"dns", ".test"},
                                                        {"dns", "a.test."},
                                                        {"dns", "a.*.test"},
                                                        {"dns", "*."},
                                                        {"dns", "a b.test"},
                                                        {"dns", "a/b.test"}}) {
    json spoiled = authorization();
    spoiled["identifier"] = {{"type", type}, {"value", value}};
    EXPECT_FALSE(parse_authorization(spoiled.dump())) << type << " " << value;
  }
  const auto read = [](const char* type, const std::string& value) {
    json whole = authorization();
    whole["identifier"] = {{"type", type}, {"value", value}};
    return parse_authorization(whole.dump()).value().identifier.value;
  };
  EXPECT_EQ(read("ip", "192.0.2.7"), "192.0.2.7");
  EXPECT_EQ(read("ip", "2001:DB8:0::7"), "2001:db8::7") << "as we write it";
  EXPECT_EQ(read("dns", std::string(63, 'x') + ".Test"), std::string(63, 'x') + ".test");
  EXPECT_EQ(read("dns", "_a.xn--bcher-kva.test"), "_a.xn--bcher-kva.test");
  EXPECT_EQ(read("dns", "*.example.com"), "*.example.com");
}

TEST(ParseAuthorization, LeavesOutChallengesThatCannotBeAnswered) {
  for (const auto& [name, value] :
       std::vector<std::pair<std::string, json>>{{"type", "device-attest-01"},
                                                 {"url", "http://ca.test/1"},
                                                 {"url", 7},
                                                 {"token", std::string(21, 'a')},
                                                 {"token", std::string(129, 'a')},
                                                 {"token", "../../../etc/shadow/and/more"},
                                                 {"token", "aaaaaaaaaaaaaaaaaaaaaaa\r\nX: y"},
                                                 {"token", "aaaaaaaaaaaaaaaaaaaaaaaa="},
                                                 {"token", nullptr}}) {
    json spoiled = authorization();
    spoiled["challenges"][0][name] = value;
    const auto read = parse_authorization(spoiled.dump());
    ASSERT_TRUE(read);
    ASSERT_THAT(read->challenges, SizeIs(1)) << name << value;
    EXPECT_EQ(read->challenges[0].type, ChallengeType::dns_01);
  }
}

TEST(ParseAuthorization, TakesAFewChallenges) {
  json many = authorization();
  for (int i = 0; i < 200; ++i) many["challenges"].push_back(many["challenges"][0]);
  EXPECT_THAT(parse_authorization(many.dump()).value().challenges, SizeIs(32));
}

TEST(ParseRenewalInfo, ReadsWindowAndExplanation) {
  const auto read = parse_renewal_info(renewal().dump());
  ASSERT_TRUE(read);
  EXPECT_EQ(read->end - read->start, std::chrono::hours(24));
  EXPECT_EQ(read->explanation, "https://ca.test/why");
}

TEST(ParseRenewalInfo, NeedsAWindowThatEndsAfterItStarts) {
  json without = renewal();
  without.erase("suggestedWindow");
  EXPECT_FALSE(parse_renewal_info(without.dump()));
  for (const char* const name : {"start", "end"}) {
    json half = renewal();
    half["suggestedWindow"].erase(name);
    EXPECT_FALSE(parse_renewal_info(half.dump())) << name;
  }
  json backwards = renewal();
  std::swap(backwards["suggestedWindow"]["start"], backwards["suggestedWindow"]["end"]);
  EXPECT_FALSE(parse_renewal_info(backwards.dump()));
}

TEST(Readers, SurviveEachMemberOfAnyOtherKind) {
  const auto url = [](const std::string& text) { return is_usable_url(text); };
  const auto url_or_none = [&](const std::string& text) { return text.empty() || url(text); };
  const auto directory_is_fit = [&](const Directory& read) {
    return url(read.new_nonce) && url(read.new_account) && url(read.new_order) && url_or_none(read.key_change) &&
           url_or_none(read.revoke_certificate) && url_or_none(read.renewal_info);
  };
  const auto order_is_fit = [&](const Order& read) {
    return read.status != Status::unknown && url(read.finalize) && url_or_none(read.certificate) &&
           !read.authorizations.empty() && std::ranges::all_of(read.authorizations, url);
  };
  const auto challenge_is_fit = [&](const Challenge& challenge) {
    return url(challenge.url) && challenge.token.size() >= 22 && challenge.token.size() <= 128;
  };
  const auto authorization_is_fit = [&](const Authorization& read) {
    return read.status != Status::unknown && !read.identifier.value.empty() &&
           std::ranges::all_of(read.challenges, challenge_is_fit);
  };
  const auto window_is_fit = [](const RenewalInfo& read) { return read.start <= read.end; };
  EXPECT_THAT(unfit_when_spoiled(directory(), parse_directory, directory_is_fit), IsEmpty());
  EXPECT_THAT(unfit_when_spoiled(order(), parse_order, order_is_fit), IsEmpty());
  EXPECT_THAT(unfit_when_spoiled(authorization(), parse_authorization, authorization_is_fit), IsEmpty());
  EXPECT_THAT(unfit_when_spoiled(renewal(), parse_renewal_info, window_is_fit), IsEmpty());
}

TEST(Readers, RefuseWhatIsNoObjectOrBeyondTheBounds) {
  const std::string deep = "{\"a\":" + std::string(100'000, '[') + std::string(100'000, ']') + "}";
  std::string whole = directory().dump();
  const std::string huge = whole.substr(0, whole.size() - 1) + ",\"x\":\"" + std::string(256 * 1024, 'x') + "\"}";
  for (const std::string& body : {std::string(), std::string("null"), std::string("[]"), std::string("\"{}\""),
                                  std::string("{"), std::string("{}{}"), std::string("{\"a\":1e999}"), deep, huge,
                                  std::string(200'000, '['), std::string("{\"a\":\"\xff\xfe\"}")}) {
    EXPECT_FALSE(parse_directory(body));
    EXPECT_FALSE(parse_order(body));
    EXPECT_FALSE(parse_authorization(body));
    EXPECT_FALSE(parse_renewal_info(body));
  }
}

TEST(Readers, TakeDepthUpToTheBound) {
  const auto nested = [](int depth) {
    json whole = directory();
    json value = 1;
    for (int i = 0; i < depth; ++i) value = json::array({value});
    whole["extra"] = value;
    return whole.dump();
  };
  EXPECT_TRUE(parse_directory(nested(10)));
  EXPECT_FALSE(parse_directory(nested(20)));
}

}  // namespace
}  // namespace gatehouse::acme
