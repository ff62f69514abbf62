// Reading files and directories, and what concerns several tenants.
#include "config/load.hpp"

#include <sys/stat.h>

#include "config/yaml.hpp"
#include "support.hpp"

namespace gatehouse::config::test {
namespace {

std::string tenant(const std::string& name, const std::string& host) {
  return "tenant: " + name + "\nhosts:\n  - {name: \"" + host + "\", tls: off}\n" + std::string(kServices) +
         std::string(kRoutes);
}

LoadedTenant load(const std::string& stem, const std::string& name, const std::string& host) {
  return parse_tenant(tenant(name, host), "/nonexistent/tenants/" + stem + ".yaml", gateway_with());
}

/// The problems of each after settling, in order.
std::vector<std::vector<std::string>> settled(std::vector<LoadedTenant> tenants) {
  settle_claims(tenants);
  std::vector<std::vector<std::string>> out;
  for (const LoadedTenant& each : tenants) {
    EXPECT_EQ(each.config == nullptr, has_errors(each.problems));
    out.push_back(lines_of(each.problems));
  }
  return out;
}

TEST(SettleClaims, LeavesAHostToTheFirst) {
  std::vector<LoadedTenant> tenants{load("a", "a", "shop.example"), load("b", "b", "SHOP.example")};
  settle_claims(tenants);
  EXPECT_TRUE(tenants[0].config);
  EXPECT_FALSE(tenants[1].config);
  ASSERT_EQ(tenants[1].problems.size(), 1U);
  EXPECT_EQ(tenants[1].problems[0].to_string(),
            "/nonexistent/tenants/b.yaml:3:12: error: the host 'shop.example' belongs to the tenant 'a' (a.yaml), "
            "which comes first by file name\n"
            "    - {name: \"SHOP.example\", tls: off}\n             ^");
}

TEST(SettleClaims, LeavesATenantsNameToTheFirst) {
  EXPECT_THAT(settled({load("a", "same", "a.example"), load("b", "same", "b.example")}),
              ElementsAre(IsEmpty(), ElementsAre(error_at("1:9", "the tenant 'same' is given in 'a.yaml' too"))));
}

TEST(SettleClaims, LeavesATenantsNameToTheFileThatIsCalledAfterIt) {
  EXPECT_THAT(
      settled({load("evil", "shop", "evil.example"), load("shop", "shop", "shop.example")}),
      ElementsAre(ElementsAre(error_at("1:9", "the tenant 'shop' is given in 'shop.yaml' too, which is named like it")),
                  IsEmpty()));
}

TEST(SettleClaims, TakesNothingButTheContestedHost) {
  const std::string two = "tenant: shop\nhosts: [{name: shop.example.de, tls: off}, {name: b.example, tls: off}]\n" +
                          std::string(kServices) + std::string(kRoutes);
  for (const std::string claimed : {"shop.example.de", "*.example.de"}) {
    std::vector<LoadedTenant> tenants{load("evil", "evil", claimed), parse_tenant(two, "/t/shop.yaml", gateway_with())};
    for (int turn = 0; turn < 2; ++turn) {  // settled again, it is the same
      settle_claims(tenants);
      ASSERT_TRUE(tenants[1].config);
      ASSERT_EQ(tenants[1].config->hosts.size(), 1U);
      EXPECT_EQ(tenants[1].config->hosts[0].name, "b.example");
      EXPECT_EQ(tenants[1].as_written->hosts.size(), 2U);
    }
    EXPECT_TRUE(has_errors(tenants[1].problems));
    // The host is free for nobody else, and what is left of the tenant is still its own.
    std::vector<LoadedTenant> others{load("a", "a", claimed), parse_tenant(two, "/t/shop.yaml", gateway_with()),
                                     load("z", "z", "b.example")};
    settle_claims(others);
    EXPECT_THAT(lines_of(others[2].problems), ElementsAre(HasSubstr("belongs to the tenant 'shop'")));
  }
}

TEST(SettleClaims, LeavesTheCatchAllToTheFirst) {
  EXPECT_THAT(settled({load("a", "a", "*"), load("b", "b", "*")}),
              ElementsAre(IsEmpty(), ElementsAre(error_at("3:12", "the host '*' belongs to the tenant 'a'"))));
  EXPECT_THAT(settled({load("a", "a", "*"), load("b", "b", "shop.example"), load("c", "c", "*.shop.example")}),
              ElementsAre(IsEmpty(), IsEmpty(), IsEmpty()));
}

TEST(SettleClaims, LetsNobodyCutIntoAWildcard) {
  EXPECT_THAT(settled({load("a", "a", "*.example.de"), load("b", "b", "shop.example.de")}),
              ElementsAre(IsEmpty(), ElementsAre(error_at("3:12", "cuts into the wildcard '*.example.de'"))));
  EXPECT_THAT(settled({load("a", "a", "*.example.de"), load("b", "b", "a.b.example.de"), load("c", "c", "example.de")}),
              ElementsAre(IsEmpty(), IsEmpty(), IsEmpty()));
}

// An earlier file must not take a whole wildcard off the network by claiming one name below it.
TEST(SettleClaims, LeavesTheRestOfAWildcardToItsTenant) {
  std::vector<LoadedTenant> tenants{load("a", "a", "shop.example.de"), load("b", "b", "*.example.de"),
                                    load("c", "c", "other.example.de")};
  settle_claims(tenants);
  ASSERT_TRUE(tenants[1].config);
  ASSERT_EQ(tenants[1].config->hosts.size(), 1U);
  EXPECT_EQ(tenants[1].config->hosts[0].name, "*.example.de");
  EXPECT_THAT(lines_of(tenants[1].problems),
              ElementsAre(error_at("3:12", "'*.example.de' does not get the host 'shop.example.de'")));
  EXPECT_FALSE(tenants[2].config);
  EXPECT_THAT(lines_of(tenants[2].problems), ElementsAre(HasSubstr("cuts into the wildcard")));
}

TEST(SettleClaims, LetsATenantCutIntoItsOwnWildcard) {
  std::vector<LoadedTenant> tenants{
      parse_tenant("tenant: a\nhosts: [{name: \"*.example.de\", tls: off}, {name: shop.example.de, tls: off}]\n" +
                       std::string(kServices) + std::string(kRoutes),
                   "/t/a.yaml", gateway_with())};
  settle_claims(tenants);
  EXPECT_TRUE(tenants[0].config);
}

TEST(SettleClaims, TakesNoClaimsOfTheInvalid) {
  EXPECT_THAT(settled({load("a", "-", "shop.example"), load("b", "b", "shop.example")})[1], IsEmpty());
  // b loses by its name, so that its host is free for c.
  EXPECT_THAT(settled({load("a", "a", "a.example"), load("b", "a", "b.example"), load("c", "c", "b.example")}),
              ElementsAre(IsEmpty(), ElementsAre(HasSubstr("the tenant 'a'")), IsEmpty()));
}

TEST(SettleClaims, TellsAllConflictsOfATenant) {
  const std::string two = "tenant: a\nhosts: [{name: a.example, tls: off}, {name: b.example, tls: off}]\n" +
                          std::string(kServices) + std::string(kRoutes);
  std::vector<LoadedTenant> tenants{load("a", "a", "a.example"), load("b", "b", "b.example"),
                                    parse_tenant(two, "/t/c.yaml", gateway_with())};
  settle_claims(tenants);
  EXPECT_THAT(lines_of(tenants[2].problems),
              ElementsAre(error_at("1:9", "the tenant 'a'"), error_at("2:16", "the host 'a.example'"),
                          error_at("2:45", "the host 'b.example'")));
}

TEST(LoadGateway, ReadsTheFileAndNeedsTheTenantsDirectory) {
  TemporaryFolder folder;
  const std::string file = folder.write("gateway.yaml", "site: a\n");
  EXPECT_THAT(lines_of(load_gateway(file).problems),
              ElementsAre(error_at("1:1", "there is no directory '" + folder.path() + "tenants/'")));
  std::filesystem::create_directory(folder.path() + "tenants");
  const LoadedGateway loaded = load_gateway(file);
  ASSERT_TRUE(loaded.config);
  EXPECT_EQ(loaded.config->tenants_directory, folder.path() + "tenants/");
  folder.write("gateway.yaml", "tenants: gateway.yaml\n");
  EXPECT_THAT(lines_of(load_gateway(file).problems), ElementsAre(error_at("1:10", "there is no directory")));
}

TEST(LoadGateway, TellsWhyAFileCannotBeRead) {
  TemporaryFolder folder;
  EXPECT_THAT(lines_of(load_gateway(folder.path() + "none.yaml").problems),
              ElementsAre(error_at("0:0", "No such file")));
  EXPECT_THAT(lines_of(load_gateway(folder.path()).problems), ElementsAre(error_at("0:0", "this is a directory")));
  EXPECT_THAT(lines_of(load_gateway("/dev/zero").problems), ElementsAre(error_at("0:0", "larger than")));  // bounded
}

TEST(SettleClaims, GivesBackWhatTheOtherNoLongerClaims) {
  std::vector<LoadedTenant> tenants{load("a", "a", "shop.example"), load("b", "b", "shop.example")};
  settle_claims(tenants);
  EXPECT_FALSE(tenants[1].config);  // nothing was left of it
  tenants[0] = load("a", "a", "a.example");
  settle_claims(tenants);
  ASSERT_TRUE(tenants[1].config);
  EXPECT_EQ(tenants[1].config->hosts.front().name, "shop.example");
}

TEST(ParseTenant, KnowsTheHostsOfATextWithErrors) {
  const LoadedTenant loaded = tenant_of(
      "hosts: [{name: a.example, tls: {certificate_file: none.pem, key_file: none.pem}}, {name: '*.b.example'}, "
      "{name: 'c d'}]\nnonsense: true");
  EXPECT_FALSE(loaded.config);
  ASSERT_TRUE(loaded.claims);
  EXPECT_EQ(loaded.claims->name, "shop");
  ASSERT_EQ(loaded.claims->hosts.size(), 2U);
  EXPECT_EQ(loaded.claims->hosts[0].name, "a.example");
  EXPECT_EQ(loaded.claims->hosts[1].name, "*.b.example");
  EXPECT_FALSE(tenant_of("").claims);
  const LoadedTenant unreadable = parse_tenant("tenant: [", "/nonexistent/tenants/shop.yaml", gateway_with());
  EXPECT_EQ(unreadable.claims->name, "shop");  // after the file, whose name it would be
  EXPECT_THAT(unreadable.claims->hosts, IsEmpty());
}

TEST(JudgeAgain, AsksForWhatThePlatformPermitsAndNotForFiles) {
  const std::string text =
      tenant_with("hosts: [{name: shop.example, tls: {certificate_file: gone.pem, key_file: gone.pem}}]");
  const std::string path = "/nonexistent/tenants/shop.yaml";
  EXPECT_FALSE(parse_tenant(text, path, gateway_with()).config);
  EXPECT_TRUE(judge_again(text, path, gateway_with()).config);
  EXPECT_FALSE(judge_again(text, path, gateway_with("redis: {url: \"redis://10.0.0.1:80\"}")).config);
}

TEST(LoadGateway, TakesTheExamplesThatAreShipped) {
  const std::string root = std::filesystem::path(TEST_DATA "/../../").lexically_normal().string();
  const LoadedGateway gateway = load_gateway(root + "deploy/examples/gateway.yaml");
  ASSERT_TRUE(gateway.config) << gateway.problems[0].to_string();
  const auto tenants = load_tenants(*gateway.config);
  ASSERT_TRUE(tenants);
  EXPECT_FALSE(tenants->empty());
  for (const LoadedTenant& each : *tenants) EXPECT_TRUE(each.config) << each.problems[0].to_string();
  EXPECT_TRUE(load_gateway(root + "demo/gateway.yaml").config);
}

struct Tenants {
  TemporaryFolder folder;
  GatewayConfig gateway;
  Tenants() {
    gateway = gateway_with();
    gateway.tenants_directory = folder.path();
  }
  std::vector<LoadedTenant> load() {
    auto tenants = load_tenants(gateway);
    EXPECT_TRUE(tenants);
    return tenants ? std::move(*tenants) : std::vector<LoadedTenant>();
  }
};

TEST(LoadTenants, ReadsInOrderOfFileName) {
  Tenants t;
  t.folder.write("b.yaml", tenant("first", "a.example"));
  t.folder.write("a.yaml", tenant("second", "b.example"));
  t.folder.write("README.md", "no tenant");
  t.folder.write(".hidden.yaml", "no tenant");
  t.folder.write("b.d/b.yaml", "no tenant");
  t.folder.write("a.yaml~", "no tenant");
  const auto tenants = t.load();
  ASSERT_EQ(tenants.size(), 2U);
  EXPECT_EQ(tenants[0].stem, "a");
  EXPECT_EQ(tenants[0].name, "second");
  EXPECT_TRUE(tenants[0].config);
  EXPECT_EQ(tenants[0].config->file, t.folder.path() + "a.yaml");
  EXPECT_EQ(tenants[1].stem, "b");
}

TEST(LoadTenants, SettlesClaims) {
  Tenants t;
  t.folder.write("a.yaml", tenant("a", "x.example"));
  t.folder.write("b.yaml", tenant("b", "x.example"));
  const auto tenants = t.load();
  EXPECT_TRUE(tenants[0].config);
  EXPECT_FALSE(tenants[1].config);
}

TEST(LoadTenants, KeepsTheOthersWhenOneIsInvalid) {
  Tenants t;
  t.folder.write("a.yaml", "tenant: [\n");
  t.folder.write("b.yaml", tenant("b", "b.example"));
  const auto tenants = t.load();
  ASSERT_EQ(tenants.size(), 2U);
  EXPECT_FALSE(tenants[0].config);
  EXPECT_EQ(tenants[0].name, "a");
  EXPECT_TRUE(tenants[1].config);
}

TEST(LoadTenants, ReadsAConfigMap) {
  Tenants t;
  t.folder.write("..2024_01/shop.yaml", tenant("shop", "shop.example"));
  t.folder.link("..data", "..2024_01");
  t.folder.link("shop.yaml", "..data/shop.yaml");
  const auto tenants = t.load();
  ASSERT_EQ(tenants.size(), 1U);
  EXPECT_TRUE(tenants[0].config);
  EXPECT_EQ(tenants[0].stem, "shop");
}

TEST(LoadTenants, FollowsNoLinkOutOfTheFolder) {
  Tenants t;
  TemporaryFolder elsewhere;
  const std::string secret = elsewhere.write("secret.yaml", "do: not show this\n");
  t.folder.link("a.yaml", secret);
  t.folder.link("b.yaml", "/dev/zero");
  const auto tenants = t.load();
  ASSERT_EQ(tenants.size(), 2U);
  for (const LoadedTenant& each : tenants) {
    EXPECT_FALSE(each.config);
    EXPECT_THAT(lines_of(each.problems), ElementsAre(error_at("0:0", "this is a link out of the directory")));
  }
}

TEST(LoadTenants, IgnoresNoFileThatLooksLikeATenant) {
  Tenants t;
  t.folder.write("shop.yml", tenant("shop", "shop.example"));
  t.folder.write("sh op.yaml", tenant("shop", "shop.example"));
  t.folder.write("sh\xFFop.yaml", tenant("shop", "shop.example"));
  t.folder.link("gone.yaml", "nowhere.yaml");
  std::filesystem::create_directory(t.folder.path() + "dir.yaml");
  ASSERT_EQ(mkfifo((t.folder.path() + "pipe.yaml").c_str(), 0600), 0);
  const auto tenants = t.load();
  ASSERT_EQ(tenants.size(), 6U);
  for (const LoadedTenant& each : tenants) {
    EXPECT_FALSE(each.config);
    ASSERT_EQ(each.problems.size(), 1U);
  }
  EXPECT_THAT(tenants[0].problems[0].message, HasSubstr("this is a directory"));
  EXPECT_THAT(tenants[1].problems[0].message, HasSubstr("No such file"));
  EXPECT_THAT(tenants[2].problems[0].message, HasSubstr("not a regular file"));
  EXPECT_THAT(tenants[3].problems[0].message, HasSubstr("letters, digits"));
  EXPECT_THAT(tenants[4].problems[0].message, HasSubstr("does not end in .yaml"));
  EXPECT_EQ(tenants[5].stem, "sh\xEF\xBF\xBDop");  // fit for a label of a metric
}

TEST(LoadTenants, FailsWithoutADirectory) {
  GatewayConfig gateway = gateway_with();
  gateway.tenants_directory = "/nonexistent/tenants/";
  const auto tenants = load_tenants(gateway);
  ASSERT_FALSE(tenants);
  EXPECT_THAT(lines_of(tenants.error()), ElementsAre(error_at("0:0", "cannot read the directory")));
}

TEST(LoadTenants, TakesAnEmptyDirectory) {
  Tenants t;
  EXPECT_TRUE(t.load().empty());
}

}  // namespace
}  // namespace gatehouse::config::test
