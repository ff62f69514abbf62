// Finds rules whose doing nobody sees: they log nothing, decide nothing, and set variables of TX that no rule of the
// policy reads, often since the rules that read them are not run. Called by waf/policy.cpp.
#pragma once

#include <vector>

#include "waf/fold.hpp"

namespace gatehouse::waf {

/// For each item of each phase whether it can be left out. Nothing can, if there is a rule whose text is not known.
/// `tx_is_read`: rules look at variables of TX that their texts do not name.
[[nodiscard]] std::vector<std::vector<bool>> without_effect(const std::vector<std::vector<Folder::Item>>& phases,
                                                            bool tx_is_read);

}  // namespace gatehouse::waf
