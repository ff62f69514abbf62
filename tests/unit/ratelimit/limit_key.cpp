// ratelimit/limit_key.hpp: names of buckets, which clients must be able neither to choose nor to make collide.
#include "ratelimit/limit_key.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <vector>

namespace gatehouse::ratelimit {
namespace {

using Kind = KeyPart::Kind;

std::string key(std::initializer_list<KeyPart> parts) { return bucket_key("shop", "api", std::vector<KeyPart>{parts}); }

TEST(BucketKey, IsReadableForPlainValues) {
  EXPECT_EQ(key({{Kind::client, "203.0.113.9"}}), "gatehouse:{shop}:api:c11=203.0.113.9");
  EXPECT_EQ(key({{Kind::client, "2001:db8::1"}, {Kind::host, "shop.example.de"}}),
            "gatehouse:{shop}:api:c11=2001:db8::1:h15=shop.example.de");
  EXPECT_EQ(key({{Kind::tenant, "ignored"}}), "gatehouse:{shop}:api:t0=");
}

TEST(BucketKey, NeverShowsAHeadersValue) {
  const std::string with_secret = key({{Kind::header, "abc"}});
  EXPECT_EQ(
      with_secret,
      "gatehouse:{shop}:api:v65=~ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");  // FIPS 180-4
}

TEST(BucketKey, BoundsLengthAndBytesWhateverTheClientSends) {
  for (const std::string& text :
       {std::string(100'000, 'a'), std::string("a b"), std::string("x\r\n"), std::string("\0", 1), std::string("}{"),
        std::string("\xff\xfe"), std::string(65, 'a')}) {
    const std::string name = key({{Kind::host, text}});
    EXPECT_EQ(name.size(), std::string_view{"gatehouse:{shop}:api:h65=~"}.size() + 64);
    EXPECT_EQ(name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789:{}=~"), std::string::npos);
  }
  EXPECT_EQ(key({{Kind::host, std::string(64, 'a')}}), "gatehouse:{shop}:api:h64=" + std::string(64, 'a'));
}

TEST(BucketKey, DiffersWheneverTheListDiffers) {
  const std::vector<std::vector<KeyPart>> lists = {
      {},
      {{Kind::client, ""}},
      {{Kind::client, "a"}},
      {{Kind::client, "a"}, {Kind::client, "b"}},
      {{Kind::client, "b"}, {Kind::client, "a"}},
      {{Kind::client, "ab"}},
      {{Kind::client, "a:c1"}},
      {{Kind::client, "a:c1=b"}},
      {{Kind::client, "a"}, {Kind::client, ""}, {Kind::client, "b"}},
      {{Kind::host, "a"}},
      {{Kind::header, "a"}},
      {{Kind::missing, "a"}},
      {{Kind::tenant, ""}},
      {{Kind::host, "~ca978112ca1bbdcafac231b39a23dc4da786eff8147c4f6b9807785afee48bb"}},
      {{Kind::host, "a\n"}},
      {{Kind::host, "~a"}},
  };
  std::set<std::string> names;
  for (const auto& list : lists) names.insert(bucket_key("shop", "api", list));
  EXPECT_EQ(names.size(), lists.size());
}

TEST(BucketKey, KeepsAMissingHeaderApartFromTheClientAndFromAnyValue) {
  const std::string missing = key({{Kind::missing, "203.0.113.9"}});
  EXPECT_EQ(missing, "gatehouse:{shop}:api:m11=203.0.113.9");
  EXPECT_NE(missing, key({{Kind::client, "203.0.113.9"}}));
  EXPECT_NE(missing, key({{Kind::header, "203.0.113.9"}}));
  EXPECT_NE(missing, key({{Kind::missing, "203.0.113.10"}}));
}

TEST(BucketKey, KeepsTenantsAndLimitsApart) {
  const std::array<KeyPart, 1> parts{{{Kind::client, "::1"}}};
  const std::set<std::string> names{bucket_key("a", "b", parts),     bucket_key("a:b", "", parts),
                                    bucket_key("a}:b", "", parts),   bucket_key("a", "b:c", parts),
                                    bucket_key("a", "b:c3=::1", {}), bucket_key("b", "a", parts)};
  EXPECT_EQ(names.size(), 6u);
}

TEST(BucketKey, HasOneHashTagWhateverTheTenantIsCalled) {
  for (const std::string_view tenant : {"shop", "a}b", "{", "}", "a b"}) {
    const std::string name = bucket_key(tenant, "l", {});
    EXPECT_EQ(std::ranges::count(name, '{'), 1);
    EXPECT_EQ(std::ranges::count(name, '}'), 1);
    EXPECT_LT(name.find('{') + 1, name.find('}'));  // an empty tag would spread the tenant's keys
  }
}

TEST(Digest, GivesKnownValues) {
  std::string out = "x";
  append_sha256(out, "");
  EXPECT_EQ(out, "xe3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  out.clear();
  append_sha1(out, "abc");
  EXPECT_EQ(out, "a9993e364706816aba3e25717850c26c9cd0d89d");
}

}  // namespace
}  // namespace gatehouse::ratelimit
