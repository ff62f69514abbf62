// One request on one thread: feeds libmodsecurity, keeps the budget, decides. Made by waf/engine.cpp.
#pragma once

#include <chrono>
#include <memory>

#include "waf/mask.hpp"
#include "waf/policy.hpp"
#include "waf/waf.hpp"

namespace gatehouse::waf {

[[nodiscard]] std::unique_ptr<Transaction> begin_transaction(const RulePolicy& policy, const RequestStart& start,
                                                             std::chrono::nanoseconds time_budget,
                                                             const Masker& masker);

}  // namespace gatehouse::waf
