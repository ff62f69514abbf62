// Which files a configuration may name.
#include "config/files.hpp"

#include <sys/stat.h>

#include "config/read_file.hpp"
#include "support.hpp"

namespace gatehouse::config::test {
namespace {

std::string resolved(const FileRules& rules, std::string_view path) {
  const auto result = rules.resolve(path);
  return result ? *result : "refused: " + result.error();
}

GatewayConfig gateway_in(const TemporaryFolder& folder) {
  GatewayConfig gateway;
  gateway.tenants_directory = folder.path() + "tenants/";
  gateway.policy.files = {folder.path() + "certs/"};
  return gateway;
}

TEST(FileRules, OfTheGatewayAreRelativeToItsFile) {
  const FileRules rules = FileRules::of_gateway("/etc/gatehouse/gateway.yaml");
  EXPECT_EQ(resolved(rules, "a.pem"), "/etc/gatehouse/a.pem");
  EXPECT_EQ(resolved(rules, "./x/../a.pem"), "/etc/gatehouse/a.pem");
  EXPECT_EQ(resolved(rules, "../a.pem"), "/etc/a.pem");
  EXPECT_EQ(resolved(rules, "/run//a.pem"), "/run/a.pem");
  EXPECT_THAT(resolved(rules, ""), HasSubstr("must not be empty"));
  EXPECT_THAT(resolved(rules, std::string(1025, 'a')), HasSubstr("at most 1024"));
  EXPECT_THAT(resolved(rules, std::string_view("a\0b", 3)), HasSubstr("NUL"));
}

TEST(FileRules, OfATenantStayInItsFolder) {
  TemporaryFolder folder;
  folder.write("tenants/shop.d/a.pem", "x");
  const FileRules rules = FileRules::of_tenant(gateway_in(folder), "shop");
  EXPECT_EQ(resolved(rules, "a.pem"), folder.path() + "tenants/shop.d/a.pem");
  EXPECT_EQ(resolved(rules, "sub/../a.pem"), folder.path() + "tenants/shop.d/a.pem");
  EXPECT_EQ(resolved(rules, "not/there.pem"), folder.path() + "tenants/shop.d/not/there.pem");
  for (const char* path :
       {"../other.d/a.pem", "..", ".", "sub/../../shop.yaml", "../../gateway.yaml", "../shop.d2/a", "../certs/a"}) {
    EXPECT_THAT(resolved(rules, path), HasSubstr("is outside of the folders")) << path;
  }
}

TEST(FileRules, OfATenantTakeAbsolutePathsInOpenedFoldersAlone) {
  TemporaryFolder folder;
  folder.write("certs/a.pem", "x");
  folder.write("certs2/a.pem", "x");
  folder.write("tenants/shop.d/a.pem", "x");
  const FileRules rules = FileRules::of_tenant(gateway_in(folder), "shop");
  EXPECT_EQ(resolved(rules, folder.path() + "certs/a.pem"), folder.path() + "certs/a.pem");
  EXPECT_EQ(resolved(rules, folder.path() + "certs/x/../a.pem"), folder.path() + "certs/a.pem");
  for (const std::string& path : {folder.path() + "certs2/a.pem", folder.path() + "certs/../certs2/a.pem",
                                  folder.path() + "certs", folder.path() + "certs/", std::string("/etc/passwd"),
                                  folder.path() + "tenants/shop.d/a.pem", std::string("//etc/passwd")}) {
    EXPECT_THAT(resolved(rules, path), HasSubstr("is outside of the folders")) << path;
  }
}

TEST(FileRules, OfATenantDoNotFollowLinksOut) {
  TemporaryFolder folder;
  folder.write("secret/key.pem", "x");
  folder.write("tenants/other.d/key.pem", "x");
  folder.write("tenants/shop.d/a.pem", "x");
  folder.link("tenants/shop.d/out.pem", "../../secret/key.pem");
  folder.link("tenants/shop.d/absolute.pem", folder.path() + "secret/key.pem");
  folder.link("tenants/shop.d/dir", "../../secret");
  folder.link("tenants/shop.d/other.pem", "../other.d/key.pem");
  folder.link("tenants/shop.d/in.pem", "a.pem");
  folder.link("tenants/shop.d/loop", "loop");
  folder.link("certs/out.pem", "../secret/key.pem");
  const FileRules rules = FileRules::of_tenant(gateway_in(folder), "shop");
  EXPECT_EQ(resolved(rules, "in.pem"), folder.path() + "tenants/shop.d/in.pem");
  for (const std::string& path :
       {std::string("out.pem"), std::string("absolute.pem"), std::string("dir/key.pem"), std::string("dir/not-there"),
        std::string("other.pem"), std::string("loop"), folder.path() + "certs/out.pem"}) {
    EXPECT_THAT(resolved(rules, path), HasSubstr("leads by a link out of the folders")) << path;
  }
}

TEST(FileRules, OfATenantMayLinkIntoOpenedFolders) {
  TemporaryFolder folder;
  folder.write("certs/a.pem", "x");
  folder.link("tenants/shop.d/a.pem", "../../certs/a.pem");
  EXPECT_EQ(resolved(FileRules::of_tenant(gateway_in(folder), "shop"), "a.pem"),
            folder.path() + "tenants/shop.d/a.pem");
}

TEST(FileRules, FollowAConfigMapsLinks) {
  TemporaryFolder folder;
  folder.write("tenants/..2024_01/shop.d/a.pem", "x");
  folder.link("tenants/..data", "..2024_01");
  folder.link("tenants/shop.d", "..data/shop.d");
  folder.write("certs/..2024_01/tls.crt", "x");
  folder.link("certs/..data", "..2024_01");
  folder.link("certs/tls.crt", "..data/tls.crt");
  const FileRules rules = FileRules::of_tenant(gateway_in(folder), "shop");
  EXPECT_EQ(resolved(rules, "a.pem"), folder.path() + "tenants/shop.d/a.pem");
  EXPECT_EQ(resolved(rules, folder.path() + "certs/tls.crt"), folder.path() + "certs/tls.crt");
}

TEST(FileRules, DoNotTakeALinkAsTheTenantsFolder) {
  TemporaryFolder folder;
  folder.write("secret/key.pem", "x");
  folder.write("secret/shop.d/key.pem", "x");
  folder.write("tenants/other.d/key.pem", "x");
  const FileRules rules = FileRules::of_tenant(gateway_in(folder), "shop");
  for (const char* target : {"../secret", "/", "other.d", "../secret/shop.d", "."}) {
    folder.link("tenants/shop.d", target);
    EXPECT_THAT(resolved(rules, "key.pem"), HasSubstr("leads by a link out")) << target;
    std::filesystem::remove(folder.path() + "tenants/shop.d");
  }
}

TEST(FileRules, WorkWhenTheDirectoryItselfIsReachedByALink) {
  TemporaryFolder folder;
  folder.write("real/tenants/shop.d/a.pem", "x");
  folder.link("tenants", "real/tenants");
  EXPECT_EQ(resolved(FileRules::of_tenant(gateway_in(folder), "shop"), "a.pem"),
            folder.path() + "tenants/shop.d/a.pem");
}

TEST(WhyUnreadable, TellsWhatIsWrong) {
  TemporaryFolder folder;
  EXPECT_EQ(FileRules::why_unreadable(folder.write("a", "x")), "");
  EXPECT_THAT(FileRules::why_unreadable(folder.path() + "b"), HasSubstr("No such file"));
  EXPECT_THAT(FileRules::why_unreadable(folder.path()), HasSubstr("not a regular file"));
  ASSERT_EQ(mkfifo((folder.path() + "pipe").c_str(), 0600), 0);
  EXPECT_THAT(FileRules::why_unreadable(folder.path() + "pipe"), HasSubstr("not a regular file"));
  EXPECT_THAT(FileRules::why_unreadable("/dev/null"), HasSubstr("not a regular file"));
  std::filesystem::resize_file(folder.write("huge", "x"), FileRules::most_bytes);
  EXPECT_EQ(FileRules::why_unreadable(folder.path() + "huge"), "");
  std::filesystem::resize_file(folder.path() + "huge", FileRules::most_bytes + 1);
  EXPECT_THAT(FileRules::why_unreadable(folder.path() + "huge"), HasSubstr("has more than"));
}

TEST(FileRulesRead, HoldsForWhatIsThereNow) {
  TemporaryFolder folder;
  folder.write("secret/key.pem", "secret");
  folder.write("tenants/shop.d/a.pem", "own");
  folder.write("certs/..1/b.pem", "opened");
  folder.link("certs/..data", "..1");
  folder.link("certs/b.pem", "..data/b.pem");
  const std::string a = folder.path() + "tenants/shop.d/a.pem";
  const FileRules rules = FileRules::of_tenant(gateway_in(folder), "shop");
  EXPECT_EQ(rules.read(a), "own");
  EXPECT_EQ(rules.read(folder.path() + "certs/b.pem"), "opened");
  std::filesystem::remove(a);
  EXPECT_THAT(rules.read(a).error(), HasSubstr("No such file"));
  folder.link("tenants/shop.d/a.pem", "../../secret/key.pem");  // after resolve() had seen a file
  EXPECT_THAT(rules.read(a).error(), HasSubstr("a link leads out"));
  EXPECT_EQ(FileRules::of_gateway(a).read(a), "secret");  // the platform's own configuration may name any
  std::filesystem::resize_file(folder.write("tenants/shop.d/huge", "x"), FileRules::most_bytes + 1);
  EXPECT_THAT(rules.read(folder.path() + "tenants/shop.d/huge").error(), HasSubstr("more than"));
}

TEST(ReadConfined, FollowsNoLinkThatWasPutThereAfterTheJudgement) {
  TemporaryFolder folder;
  folder.write("secret/key.pem", "secret");
  for (const bool of_the_folder : {false, true}) {
    std::filesystem::remove_all(folder.path() + "own");
    const std::string file = folder.write("own/sub/key.pem", "own");
    int asked = 0;
    const auto swap = [&](const std::string& real) {
      if (asked++ > 0) return is_below(real, folder.path() + "own/");
      if (of_the_folder) {
        std::filesystem::remove_all(folder.path() + "own/sub");
        folder.link("own/sub", "../secret");
      } else {
        std::filesystem::remove(file);
        folder.link("own/sub/key.pem", "../../secret/key.pem");
      }
      return true;
    };
    const auto text = read_confined(file, swap, 100);
    ASSERT_FALSE(text) << *text;
    EXPECT_TRUE(text.error().leads_out);
  }
}

TEST(ReadConfined, FollowsLinksThatChangeOnTheWay) {
  TemporaryFolder folder;
  folder.write("..1/a", "old");
  folder.write("..2/a", "new");
  folder.link("..data", "..1");
  folder.link("a", "..data/a");
  bool swapped = false;
  const auto swap = [&](const std::string& real) {  // as the kubelet does it
    if (!std::exchange(swapped, true)) {
      folder.link("..tmp", "..2");
      std::filesystem::rename(folder.path() + "..tmp", folder.path() + "..data");
      std::filesystem::remove_all(folder.path() + "..1");
    }
    return is_below(real, folder.path());
  };
  EXPECT_EQ(read_confined(folder.path() + "a", swap, 100), "new");
}

TEST(WhyNoLog, TellsWhatIsWrong) {
  TemporaryFolder folder;
  folder.write("file", "x");
  folder.link("link", "file");
  const std::string at = folder.path();
  EXPECT_EQ(FileRules::why_no_log(at + "file"), "");
  EXPECT_EQ(FileRules::why_no_log(at + "new"), "");
  EXPECT_EQ(FileRules::why_no_log(at + "made/new"), "");
  EXPECT_EQ(FileRules::why_no_log("/dev/null"), "");
  EXPECT_THAT(FileRules::why_no_log(at + "none/of/it"), HasSubstr("there is no folder"));
  EXPECT_THAT(FileRules::why_no_log(at + "file/new"), HasSubstr("there is no folder"));
  EXPECT_THAT(FileRules::why_no_log(at + "link"), HasSubstr("is a link"));
  EXPECT_THAT(FileRules::why_no_log(folder.path()), HasSubstr("is a folder"));
}

TEST(StemOf, IsTheNameWithoutYaml) {
  EXPECT_EQ(stem_of("tenants/shop.yaml"), "shop");
  EXPECT_EQ(stem_of("/a/b/shop.x.yaml"), "shop.x");
  EXPECT_EQ(stem_of("shop"), "shop");
}

}  // namespace
}  // namespace gatehouse::config::test
