// What is decided when a policy is made must not depend on anything that a request can change. Each test is a policy
// in which a hasty reader would fold too much.
#include <deque>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "waf/dead_stores.hpp"
#include "waf/fold.hpp"
#include "waf/platform_rules.hpp"

namespace gatehouse::waf {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// A policy from SecLang with one phase after another; "phase:N" decides where a rule goes.
class Plan {
 public:
  explicit Plan(std::string_view text, std::set<std::uint32_t> kept = {}) : phases_(3) {
    const seclang::Text parsed = seclang::parse(text);
    EXPECT_TRUE(parsed.errors.empty());
    bool chained = false;
    for (const seclang::Directive& directive : parsed.directives) {
      if (directive.name == "SecMarker") {
        names_.push_back(directive.words[0].text);
        for (auto& phase : phases_) phase.push_back({.marker = &names_.back()});
        continue;
      }
      if (!chained) {
        texts_.emplace_back();
        Folder::Item item{.text = &texts_.back()};
        std::size_t phase = 1;
        for (const seclang::Action& action : directive.actions) {
          if (action.name == "id") item.id = static_cast<std::uint32_t>(std::stoul(action.value));
          if (action.name == "phase") phase = std::stoul(action.value);
        }
        item.keep = kept.contains(item.id);
        phases_[phase].push_back(item);
      }
      texts_.back().links.push_back({directive.variables, directive.op, directive.actions});
      chained = std::any_of(directive.actions.begin(), directive.actions.end(),
                            [](const auto& action) { return action.name == "chain"; });
    }
  }

  /// The rules that run at all.
  std::vector<std::uint32_t> left() {
    std::vector<std::uint32_t> out;
    const auto decisions = Folder(phases_, true).fold(1);
    for (std::size_t phase = 0; phase < phases_.size(); ++phase) {
      for (std::size_t i = 0; i < phases_[phase].size(); ++i) {
        if (phases_[phase][i].marker == nullptr && decisions[phase][i].action == Folder::Action::run)
          out.push_back(phases_[phase][i].id);
      }
    }
    return out;
  }

  /// What is set in their place.
  TxValues set() {
    TxValues out;
    for (const auto& phase : Folder(phases_, true).fold(1)) {
      for (const auto& decision : phase) out.insert(out.end(), decision.values.begin(), decision.values.end());
    }
    return out;
  }

  std::vector<std::uint32_t> unseen(bool tx_is_read = false) {
    std::vector<std::uint32_t> out;
    const auto found = without_effect(phases_, tx_is_read);
    for (std::size_t phase = 0; phase < phases_.size(); ++phase) {
      for (std::size_t i = 0; i < phases_[phase].size(); ++i) {
        if (found[phase][i]) out.push_back(phases_[phase][i].id);
      }
    }
    return out;
  }

 private:
  std::deque<std::string> names_;
  std::deque<RuleText> texts_;
  std::vector<std::vector<Folder::Item>> phases_;
};

const std::string set_level = "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.level=2\"\n";
const std::string ask_level = "SecRule TX:level \"@lt 3\" \"id:9,phase:1,pass,nolog,skipAfter:END\"\n";
const std::string guarded = "SecRule ARGS \"@rx a\" \"id:10,phase:1,deny\"\nSecMarker END\n";

TEST(Fold, LeavesOutWhatIsSkippedForCertain) {
  EXPECT_THAT(Plan(set_level + ask_level + guarded).left(), IsEmpty());
  EXPECT_THAT(Plan("SecAction \"id:1,phase:1,pass,nolog,setvar:tx.level=3\"\n" + ask_level + guarded).left(),
              ElementsAre(10u));
}

TEST(Fold, SetsDefaultsOnlyWhereNothingIsSet) {
  const std::string defaults = "SecRule &TX:a \"@eq 0\" \"id:2,phase:1,pass,nolog,setvar:tx.a=5\"\n";
  EXPECT_THAT(Plan(defaults).set(), ElementsAre(std::pair<std::string, std::string>("a", "5")));
  EXPECT_THAT(Plan("SecAction \"id:1,phase:1,pass,nolog,setvar:tx.a=1\"\n" + defaults).set(),
              ElementsAre(std::pair<std::string, std::string>("a", "1")));
}

TEST(Fold, LeavesValuesThatGrowToTheRunTime) {
  std::string text = "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.a=xxxxxxxxxxxxxxxx\"\n";
  for (int id = 2; id < 60; ++id)
    text += "SecAction \"id:" + std::to_string(id) + ",phase:1,pass,nolog,setvar:tx.a=%{tx.a}%{tx.a}\"\n";
  Plan plan(text);
  for (const auto& [name, value] : plan.set()) EXPECT_LE(value.size(), 4096u + 16u);
  EXPECT_THAT(plan.left(), ::testing::SizeIs(::testing::Ge(45u)));
  // Nor do many that are short each.
  std::string many = "SecAction \"id:1,phase:1,pass,nolog,setvar:tx.a=" + std::string(1000, 'x') + "\"\n";
  for (int id = 2; id < 500; ++id)
    many += "SecAction \"id:" + std::to_string(id) + ",phase:1,pass,nolog,setvar:tx.b" + std::to_string(id) +
            "=%{tx.a}%{tx.a}%{tx.a}\"\n";
  std::size_t bytes = 0;
  Plan of_many(many);
  for (const auto& [name, value] : of_many.set()) bytes += value.size();
  EXPECT_LE(bytes, 64u * 1024u);
}

TEST(Fold, FollowsMacros) {
  EXPECT_THAT(
      Plan("SecAction \"id:1,phase:1,pass,nolog,setvar:tx.a=7,setvar:'tx.b=x%{tx.a}'\"\n").set(),
      ElementsAre(std::pair<std::string, std::string>("a", "7"), std::pair<std::string, std::string>("b", "x7")));
  EXPECT_THAT(Plan(set_level + "SecAction \"id:2,phase:1,pass,nolog,setvar:tx.other=2\"\nSecRule TX:level \"@lt "
                               "%{tx.other}\" \"id:3,phase:1,deny\"\n")
                  .left(),
              IsEmpty());
  EXPECT_THAT(Plan("SecAction \"id:1,phase:1,pass,nolog,setvar:'tx.a=%{REMOTE_ADDR}'\"\n").left(), ElementsAre(1u));
}

TEST(Fold, ForgetsWhatARuleMayChange) {
  EXPECT_THAT(
      Plan(set_level + "SecRule ARGS:l \"@eq 1\" \"id:2,phase:1,pass,nolog,setvar:tx.LEVEL=9\"\n" + ask_level + guarded)
          .left(),
      ElementsAre(2u, 9u, 10u));
  EXPECT_THAT(Plan(set_level +
                   "SecRule ARGS:l \"@eq 1\" \"id:2,phase:1,pass,nolog,chain\"\nSecRule ARGS:m \"@eq 1\" "
                   "\"setvar:!tx.level\"\n" +
                   ask_level + guarded)
                  .left(),
              ElementsAre(2u, 9u, 10u));
  EXPECT_THAT(Plan(set_level + "SecRule ARGS \"@rx .\" \"id:2,phase:1,pass,nolog,setvar:'tx.le%{MATCHED_VAR}=9'\"\n" +
                   ask_level + guarded)
                  .left(),
              ElementsAre(2u, 9u, 10u));
  EXPECT_THAT(Plan(set_level + "SecRule ARGS \"@rx .\" \"id:2,phase:1,pass,nolog,setvar:'tx.x_%{MATCHED_VAR}=9'\"\n" +
                   ask_level + guarded)
                  .left(),
              ElementsAre(2u));
  EXPECT_THAT(Plan(set_level + "SecRule ARGS \"@rx (.)\" \"id:2,phase:1,pass,nolog,capture\"\nSecRule &TX:1 \"@eq 0\" "
                               "\"id:3,phase:1,deny\"\n")
                  .left(),
              ElementsAre(2u, 3u));
}

TEST(Fold, ForgetsWhatMayHaveBeenSkipped) {
  const std::string may_skip = "SecRule ARGS:s \"@eq 1\" \"id:2,phase:1,pass,nolog,skipAfter:HERE\"\n";
  EXPECT_THAT(Plan(may_skip + set_level + "SecMarker HERE\n" + ask_level + guarded).left(), ElementsAre(2u, 9u, 10u));
  EXPECT_THAT(Plan(set_level + may_skip + "SecMarker HERE\n" + ask_level + guarded).left(), ElementsAre(2u));
}

TEST(Fold, DoesNotSkipPastAPlaceThatOthersJumpTo) {
  // If 2 skips, 9 is not reached and 10 runs.
  const std::string text = set_level + "SecRule ARGS:s \"@eq 1\" \"id:2,phase:1,pass,nolog,skipAfter:HERE\"\n" +
                           ask_level + "SecMarker HERE\n" + guarded;
  EXPECT_THAT(Plan(text).left(), ElementsAre(2u, 9u, 10u));
}

TEST(Fold, LeavesJumpsWithoutMarkerToTheLibrary) {
  EXPECT_THAT(Plan(set_level + "SecRule TX:level \"@lt 3\" \"id:9,phase:1,pass,nolog,skipAfter:NOWHERE\"\nSecRule ARGS "
                               "\"@rx a\" \"id:10,phase:1,deny\"\n")
                  .left(),
              ElementsAre(9u, 10u));
}

TEST(Fold, KnowsInLaterPhasesOnlyWhatIsCertain) {
  const std::string ask_later =
      "SecRule TX:level \"@lt 3\" \"id:20,phase:2,pass,nolog,skipAfter:END\"\nSecRule ARGS \"@rx a\" "
      "\"id:21,phase:2,deny\"\nSecMarker END\n";
  EXPECT_THAT(Plan(set_level + ask_later).left(), IsEmpty());
  // Denied before it is set, the log phase would see it unset.
  EXPECT_THAT(Plan("SecRule ARGS \"@rx a\" \"id:2,phase:1,deny\"\n" + set_level + ask_later).left(),
              ElementsAre(2u, 20u, 21u));
  // Somebody sets it later.
  EXPECT_THAT(
      Plan(set_level + ask_later + "SecRule ARGS \"@rx b\" \"id:22,phase:2,pass,nolog,setvar:tx.level=9\"\n").left(),
      ElementsAre(20u, 21u, 22u));
}

TEST(Fold, KeepsWhatMayBeTakenOutWhileARequestRuns) {
  EXPECT_THAT(Plan(set_level + ask_level + guarded, {9}).left(), ElementsAre(9u, 10u));
  EXPECT_THAT(Plan("SecRule ARGS \"@rx a\" \"id:2,phase:1,pass,nolog,ctl:ruleRemoveById=9\"\n" + set_level + ask_level +
                   guarded)
                  .left(),
              ElementsAre(2u, 9u, 10u));
  EXPECT_THAT(Plan("SecRule ARGS \"@rx a\" \"id:2,phase:1,pass,nolog,ctl:ruleRemoveById=5-9\"\n" + set_level +
                   ask_level + guarded)
                  .left(),
              ElementsAre(2u, 9u, 10u));
  EXPECT_THAT(Plan("SecRule ARGS \"@rx a\" \"id:2,phase:1,pass,nolog,ctl:ruleRemoveByTag=x\"\n" + set_level +
                   "SecRule TX:level \"@lt 3\" \"id:9,phase:1,pass,nolog,tag:x,skipAfter:END\"\n" + guarded)
                  .left(),
              ElementsAre(2u, 9u, 10u));
}

TEST(Fold, KeepsRulesThatMayLookAtLess) {
  const auto by = [&](const std::string& ctl) {
    return "SecRule ARGS \"@rx b\" \"id:2,phase:1,pass,nolog,ctl:" + ctl + "\"\n" + set_level +
           "SecRule TX:level \"@lt 3\" \"id:9,phase:1,pass,nolog,tag:level,skipAfter:END\"\n" + guarded;
  };
  for (const char* ctl : {"ruleRemoveTargetById=9;TX:level", "ruleRemoveTargetByTag=level;tx"})
    EXPECT_THAT(Plan(by(ctl)).left(), ElementsAre(2u, 9u, 10u)) << ctl;
  for (const char* ctl : {"ruleRemoveTargetById=9;ARGS:a", "ruleRemoveTargetById=8;TX:level"})
    EXPECT_THAT(Plan(by(ctl)).left(), ElementsAre(2u)) << ctl;
}

TEST(Fold, KeepsWhatIsHeardOf) {
  EXPECT_THAT(Plan(set_level + "SecRule TX:level \"@eq 2\" \"id:2,phase:1,pass,log,msg:'x'\"\n").left(),
              ElementsAre(2u));
  EXPECT_THAT(Plan(set_level + "SecRule TX:level \"@eq 2\" \"id:2,phase:1,deny\"\n").left(), ElementsAre(2u));
  EXPECT_THAT(Plan(set_level + "SecRule TX:level \"@eq 2\" \"id:2,phase:1,pass,nolog,severity:2\"\n").left(),
              ElementsAre(2u));
  EXPECT_THAT(Plan(set_level + "SecRule TX:level \"@eq 2\" \"id:2,phase:1,pass,nolog,ctl:ruleEngine=Off\"\n").left(),
              ElementsAre(2u));
}

TEST(Fold, DoesNothingWhereRulesDependOnThoseBefore) {
  for (const std::string& odd : {std::string("SecRule MATCHED_VAR \"@rx a\" \"id:2,phase:1,deny\"\n"),
                                 std::string("SecRule ARGS \"@rx a\" \"id:2,phase:1,pass,nolog,skip:1\"\n"),
                                 std::string("SecAction \"id:2,phase:1,pass,nolog,setvar:'tx.x=%{MATCHED_VAR}'\"\n"),
                                 std::string("SecRule ARGS \"@rx a\" \"id:2,phase:1,pass,nolog,status:500\"\n")}) {
    EXPECT_EQ(Plan(odd + set_level + ask_level + guarded).left().size(), 4u) << odd;
  }
}

TEST(Fold, ReadsOnlyNumbersThatAllReadAlike) {
  for (const char* value : {"2x", "-1", "0x2", "99999999999", " 2"}) {
    EXPECT_EQ(Plan("SecAction \"id:1,phase:1,pass,nolog,setvar:'tx.level=" + std::string(value) + "'\"\n" + ask_level +
                   guarded)
                  .left()
                  .back(),
              10u)
        << value;
  }
}

TEST(Fold, DropsChainsWhoseEndNeverMatches) {
  const std::string chain = "SecRule ARGS:a \"@eq 1\" \"id:2,phase:1,deny,chain\"\nSecRule TX:never \"@gt 1\"\n";
  EXPECT_THAT(Plan(chain).left(), IsEmpty());
  EXPECT_THAT(
      Plan("SecRule ARGS:a \"@eq 1\" \"id:2,phase:1,deny,chain,setvar:tx.b=1\"\nSecRule TX:never \"@gt 1\"\n").left(),
      ElementsAre(2u));
  EXPECT_THAT(Plan(chain + "SecRule ARGS:b \"@eq 1\" \"id:3,phase:1,pass,nolog,setvar:tx.never=5\"\n").left(),
              ElementsAre(3u));
}

TEST(DeadStores, AreRulesWhoseVariablesNobodyReads) {
  const std::string sets = "SecRule ARGS \"@rx a\" \"id:1,phase:1,pass,nolog,setvar:'tx.a=%{MATCHED_VAR}'\"\n";
  EXPECT_THAT(Plan(sets).unseen(), ElementsAre(1u));
  EXPECT_THAT(Plan(sets + "SecRule TX:A \"@rx a\" \"id:2,phase:1,deny\"\n").unseen(), IsEmpty());
  EXPECT_THAT(Plan(sets + "SecRule TX:/^a/ \"@rx a\" \"id:2,phase:1,deny\"\n").unseen(), IsEmpty());
  EXPECT_THAT(Plan(sets + "SecRule ARGS \"@streq %{tx.a}\" \"id:2,phase:1,deny\"\n").unseen(), IsEmpty());
  EXPECT_THAT(Plan(sets + "SecRule ARGS \"@streq b\" \"id:2,phase:1,deny,msg:'%{TX.a}'\"\n").unseen(), IsEmpty());
  EXPECT_THAT(Plan(sets + "SecRule TX \"@rx a\" \"id:2,phase:1,deny\"\n").unseen(), IsEmpty());
  // Read by a rule that is not seen itself.
  EXPECT_THAT(Plan(sets + "SecRule TX:a \"@rx a\" \"id:2,phase:1,pass,nolog,setvar:tx.b=1\"\n").unseen(),
              ElementsAre(1u, 2u));
}

TEST(DeadStores, AreNoneIfRulesReadMoreThanTheirTextsSay) {
  EXPECT_THAT(Plan(set_level).unseen(), ElementsAre(1u));
  EXPECT_THAT(Plan(set_level).unseen(true), IsEmpty());
}

TEST(DeadStores, AreNoRulesThatDoSomething) {
  for (const std::string& action : {std::string("log"), std::string("nolog,deny"), std::string("nolog,capture"),
                                    std::string("nolog,ctl:ruleEngine=Off"), std::string("nolog,skipAfter:X"),
                                    std::string("nolog,setvar:tx.anomaly_score=1"), std::string("nolog,setvar:ip.x=1"),
                                    std::string("nolog,setvar:'tx.%{ARGS.x}=1'"), std::string("nolog,exec:/x")}) {
    EXPECT_THAT(Plan("SecRule ARGS \"@rx a\" \"id:1,phase:1,pass," + action + "\"\n").unseen(), IsEmpty()) << action;
  }
  EXPECT_THAT(Plan("SecRule ARGS \"@inspectFile /x\" \"id:1,phase:1,pass,nolog\"\n").unseen(), IsEmpty());
}

}  // namespace
}  // namespace gatehouse::waf
