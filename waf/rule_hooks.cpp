// Definitions that stand before libmodsecurity's own; see rule_hooks.hpp. They must be in the executable's dynamic
// symbol table.
#include "waf/rule_hooks.hpp"

#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "waf/interpose.hpp"
#include "waf/modsecurity.hpp"

namespace gatehouse::waf {
namespace {

enum Hook : unsigned {
  expansion = 1,
  set_variable = 2,
  message = 4,
  log_data = 8,
  value = 16,
  transformation = 32,
  operation = 64,
  element = 128
};
constexpr unsigned all_hooks =
    expansion | set_variable | message | log_data | value | transformation | operation | element;

// What of the thread's current rule makes a text.
enum class Maker { argument, variable, message };

struct Current {
  TxAccount* account = nullptr;  // null: no tenant's rule
  Maker maker = Maker::argument;
  std::optional<std::size_t> value;  // Maker::variable: how long it becomes
  std::uint32_t rule = 0;
  ExclusionScope::Targets excluded;  // of the rule
  unsigned called = 0;           // hooks
};

thread_local constinit Current current;

class MakerScope {
 public:
  explicit MakerScope(Maker maker) noexcept {
    current.maker = maker;
    current.value.reset();
  }
  ~MakerScope() { current.maker = Maker::argument; }
  MakerScope(const MakerScope&) = delete;
  MakerScope& operator=(const MakerScope&) = delete;
};

// The library's definition; without it no rule could be evaluated, so that the process may as well end.
template <typename Function>
Function* library_definition(const char* name) {
  void* symbol = dlsym(RTLD_NEXT, name);
  if (symbol == nullptr) std::abort();
  return reinterpret_cast<Function*>(symbol);
}

// About the nanoseconds that these take.
constexpr std::size_t work_per_action = 100;
constexpr std::size_t work_per_value = 300;
constexpr std::size_t work_per_transformation = 100;
constexpr std::size_t work_per_transformed_byte = 3;
constexpr std::size_t work_per_operation = 100;
constexpr std::size_t work_per_compared_byte = 2;

// What it takes the library to find a place for one more: its hash is the sum of the bytes, so that names by the hundred
// may be compared with each other.
std::size_t work_to_insert(const modsecurity::AnchoredSetVariable& set, const std::string& key) {
  const std::size_t bucket = set.bucket(key);
  const auto first = set.begin(bucket);
  if (first == set.end(bucket)) return 0;
  const std::size_t names = modsecurity::MyEqual()(first->first, key) ? 1 : set.bucket_size(bucket);
  return work_per_compared_byte * key.size() * names;
}

// The text of a tenant's rule, within its bound.
void bound(std::string& text) {
  if (current.maker == Maker::message) {
    if (text.size() > max_tx_bytes) text.resize(max_tx_bytes);
    return;
  }
  bool fits = text.size() <= max_tx_bytes;
  if (current.maker == Maker::variable) {
    // The library makes the value first and then, in a call of its own, the name.
    if (current.value) fits = fits && current.account->set(text, *current.value);
    current.value = text.size();
  }
  if (fits) return;
  fail_budget(BudgetState::size);
  std::string().swap(text);  // with its memory
}

}  // namespace

bool TxAccount::set(const std::string& name, std::size_t bytes) {
  std::size_t& value = values_[name];
  const std::size_t others = bytes_ - value;
  if (bytes > max_tx_bytes - others) return false;
  value = bytes;
  bytes_ = others + bytes;
  return true;
}

OwnRuleScope::OwnRuleScope(TxAccount* account) noexcept { current.account = account; }

OwnRuleScope::~OwnRuleScope() { current.account = nullptr; }

ExclusionScope::ExclusionScope(modsecurity::Transaction& transaction, std::uint32_t rule, Targets targets)
    : told_(transaction.m_ruleRemoveTargetById) {
  Told names;
  for (const ExclusionTarget* const target : targets) {
    if (target->pattern) continue;
    if (target->key.empty()) {
      names.emplace_back(static_cast<int>(rule), target->collection);
    } else if (target->collection == "XML") {
      names.emplace_back(static_cast<int>(rule), target->collection + ":" + target->key);
    }
  }
  count_ = names.size();
  told_.splice(told_.begin(), names);
  current.rule = rule;
  current.excluded = targets;
}

ExclusionScope::~ExclusionScope() {
  current.excluded = {};
  told_.erase(told_.begin(), std::next(told_.begin(), static_cast<std::ptrdiff_t>(count_)));
}

bool own_rule_runs() noexcept { return current.account != nullptr; }

bool rule_hooks_active() noexcept { return (current.called & all_hooks) == all_hooks; }

}  // namespace gatehouse::waf

#define GATEHOUSE_EXPORT __attribute__((visibility("default"), used))

namespace modsecurity {

// Classes that the library's headers do not show: only as much of them as the names of their functions take.
class RunTimeString {
 public:
  GATEHOUSE_EXPORT std::string evaluate(Transaction* transaction, Rule* rule);
};

std::string RunTimeString::evaluate(Transaction* transaction, Rule* rule) {
  using namespace gatehouse::waf;
  static auto* const real = library_definition<std::string(RunTimeString*, Transaction*, Rule*)>(
      "_ZN11modsecurity13RunTimeString8evaluateB5cxx11EPNS_11TransactionEPNS_4RuleE");
  current.called |= expansion;
  if (current.account != nullptr && budget_spent(work_per_action)) return {};
  std::string text = real(this, transaction, rule);
  if (current.account != nullptr) bound(text);
  static_cast<void>(budget_spent(text.size()));
  return text;
}

// Each value that a rule looks at comes by here. Once the budget is spent it is left out: with no result of its
// transformations the operator is not asked.
GATEHOUSE_EXPORT void RuleWithActions::executeTransformations(Transaction* transaction, const std::string& in,
                                                              TransformationResults& results) {
  using namespace gatehouse::waf;
  static auto* const real =
      library_definition<void(RuleWithActions*, Transaction*, const std::string&, TransformationResults&)>(
          "_ZN11modsecurity15RuleWithActions22executeTransformationsEPNS_11TransactionERKNSt7__cxx1112basic_string"
          "IcSt11char_traitsIcESaIcEEERNS3_4listISt4pairISt10shared_ptrIS8_ESE_ESaISF_EEE");
  current.called |= Hook::value;
  if (budget_spent(work_per_value + in.size())) return;
  real(this, transaction, in, results);
}

GATEHOUSE_EXPORT void RuleWithActions::executeTransformation(actions::transformations::Transformation* transformation,
                                                             std::shared_ptr<std::string>* value,
                                                             Transaction* transaction, TransformationResults* results,
                                                             std::string* path, int* nth) const {
  using namespace gatehouse::waf;
  static auto* const real =
      library_definition<void(const RuleWithActions*, actions::transformations::Transformation*,
                              std::shared_ptr<std::string>*, Transaction*, TransformationResults*, std::string*, int*)>(
          "_ZNK11modsecurity15RuleWithActions21executeTransformationEPNS_7actions15transformations14TransformationEP"
          "St10shared_ptrINSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEEEPNS_11TransactionEPNS6_4listISt4pair"
          "ISC_SC_ESaISI_EEEPSB_Pi");
  current.called |= Hook::transformation;
  if (budget_spent(work_per_transformation + work_per_transformed_byte * (*value)->size())) return;
  real(this, transformation, value, transaction, results, path, nth);
}

GATEHOUSE_EXPORT bool RuleWithOperator::executeOperatorAt(Transaction* transaction, const std::string& key,
                                                          const std::string& value,
                                                          std::shared_ptr<RuleMessage> message) {
  using namespace gatehouse::waf;
  static auto* const real = library_definition<bool(RuleWithOperator*, Transaction*, const std::string&,
                                                    const std::string&, std::shared_ptr<RuleMessage>)>(
      "_ZN11modsecurity16RuleWithOperator17executeOperatorAtEPNS_11TransactionERKNSt7__cxx1112basic_stringIcSt11"
      "char_traitsIcESaIcEEESA_St10shared_ptrINS_11RuleMessageEE");
  current.called |= operation;
  if (!current.excluded.empty() && static_cast<std::uint32_t>(m_ruleId) == current.rule &&
      excluded(current.excluded, key))
    return false;
  if (budget_spent(work_per_operation + value.size())) return false;
  return real(this, transaction, key, value, std::move(message));
}

// Arguments, cookies, files and the like.
GATEHOUSE_EXPORT void AnchoredSetVariable::set(const std::string& key, const std::string& value, std::size_t offset) {
  using namespace gatehouse::waf;
  static auto* const real =
      library_definition<void(AnchoredSetVariable*, const std::string&, const std::string&, std::size_t)>(
          "_ZN11modsecurity19AnchoredSetVariable3setERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEES8_m");
  current.called |= element;
  if (!budget_spent(work_to_insert(*this, key))) real(this, key, value, offset);
}

GATEHOUSE_EXPORT void AnchoredSetVariable::set(const std::string& key, const std::string& value, std::size_t offset,
                                               std::size_t length) {
  using namespace gatehouse::waf;
  static auto* const real =
      library_definition<void(AnchoredSetVariable*, const std::string&, const std::string&, std::size_t, std::size_t)>(
          "_ZN11modsecurity19AnchoredSetVariable3setERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEES8_mm");
  if (!budget_spent(work_to_insert(*this, key))) real(this, key, value, offset, length);
}

namespace actions {

class SetVar {
 public:
  GATEHOUSE_EXPORT bool evaluate(RuleWithActions* rule, Transaction* transaction);
};

bool SetVar::evaluate(RuleWithActions* rule, Transaction* transaction) {
  using namespace gatehouse::waf;
  static auto* const real = library_definition<bool(SetVar*, RuleWithActions*, Transaction*)>(
      "_ZN11modsecurity7actions6SetVar8evaluateEPNS_15RuleWithActionsEPNS_11TransactionE");
  current.called |= set_variable;
  if (budget_spent(work_per_action)) return true;
  const MakerScope scope(Maker::variable);
  return real(this, rule, transaction);
}

class Msg {
 public:
  GATEHOUSE_EXPORT bool evaluate(RuleWithActions* rule, Transaction* transaction, std::shared_ptr<RuleMessage> message);
};

bool Msg::evaluate(RuleWithActions* rule, Transaction* transaction, std::shared_ptr<RuleMessage> message) {
  using namespace gatehouse::waf;
  static auto* const real =
      library_definition<bool(Msg*, RuleWithActions*, Transaction*, std::shared_ptr<RuleMessage>)>(
          "_ZN11modsecurity7actions3Msg8evaluateEPNS_15RuleWithActionsEPNS_11TransactionESt10shared_ptrINS_"
          "11RuleMessageEE");
  current.called |= Hook::message;
  const MakerScope scope(Maker::message);
  return real(this, rule, transaction, std::move(message));
}

class LogData {
 public:
  GATEHOUSE_EXPORT bool evaluate(RuleWithActions* rule, Transaction* transaction, std::shared_ptr<RuleMessage> message);
};

bool LogData::evaluate(RuleWithActions* rule, Transaction* transaction, std::shared_ptr<RuleMessage> message) {
  using namespace gatehouse::waf;
  static auto* const real =
      library_definition<bool(LogData*, RuleWithActions*, Transaction*, std::shared_ptr<RuleMessage>)>(
          "_ZN11modsecurity7actions7LogData8evaluateEPNS_15RuleWithActionsEPNS_11TransactionESt10shared_ptrINS_"
          "11RuleMessageEE");
  current.called |= log_data;
  const MakerScope scope(Maker::message);
  return real(this, rule, transaction, std::move(message));
}

}  // namespace actions
}  // namespace modsecurity
