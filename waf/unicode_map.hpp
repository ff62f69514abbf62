// What characters beyond ASCII pass for: a typographic quote for "'", a single angle quotation mark for "<". Without a map
// t:urlDecodeUni leaves such characters as bytes that no pattern and no libinjection knows, while databases and
// applications that convert to their own code page read them as the ASCII ones. Called by waf/base_rules.cpp.
#pragma once

#include "waf/modsecurity.hpp"

namespace gatehouse::waf {

/// Gives the set the map that other connectors get by SecUnicodeMapFile (code page 20127), unless it has one.
void apply_unicode_map(modsecurity::RulesSet& rules);

}  // namespace gatehouse::waf
