// libmodsecurity's headers, for waf/ alone.
//
// One of them returns NULL where it promises a std::string, which C++23's library refuses to compile. While that
// header is read (after all that it includes, which would define NULL again), NULL is {}: an empty string there, a null pointer in its other uses.
#pragma once

#include <cstring>
#include <ctime>
#include <iostream>
#include <list>
#include <set>
#include <string>
#include <vector>

#include <modsecurity/actions/action.h>
#include <modsecurity/audit_log.h>
#include <modsecurity/modsecurity.h>
#include <modsecurity/rule.h>
#include <modsecurity/rules_exceptions.h>
#include <modsecurity/transaction.h>

#pragma push_macro("NULL")
#undef NULL
#define NULL \
  {          \
  }
#include <modsecurity/rules_set_properties.h>
#pragma pop_macro("NULL")

#include <modsecurity/rule_marker.h>
#include <modsecurity/rule_message.h>
#include <modsecurity/rule_with_actions.h>
#include <modsecurity/rule_with_operator.h>
#include <modsecurity/rules_set.h>
