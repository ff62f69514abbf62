// A transaction's CPU budget and match limits inside libmodsecurity's regular expressions.
//
// libmodsecurity calls PCRE2 and libinjection through the dynamic linker, so that definitions in our executable
// come first (interpose.cpp). They add what the library lacks: a match limit, a JIT stack of our own, a bound on the
// CPU of one transaction, and a flag for every error, since the library takes an error for "no match", which alone
// would let an attack pass. Used by waf/engine.cpp (self-test) and waf/transaction.cpp.
#pragma once

#include <chrono>
#include <cstddef>

namespace gatehouse::waf {

/// Why a transaction may not be trusted any more.
enum class BudgetState {
  fine,
  match_limit,  // one match needed more than its share, or PCRE2 reported another error
  time,         // the transaction used up waf.time_budget
  size,         // a tenant's rules, or names of JSON, made more text than they may
};

/// The budget of one transaction; it is charged only while a BudgetScope of it lives on the thread.
class Budget {
 public:
  explicit Budget(std::chrono::nanoseconds cpu) noexcept : granted_(cpu), left_(cpu) {}
  [[nodiscard]] BudgetState state() const noexcept { return state_; }
  /// Outside of its scopes; what is spent stays spent.
  void extend(std::chrono::nanoseconds by) noexcept {
    granted_ += by;
    left_ += by;
  }
  /// The same, to so much in all, with what is used already; never less than before.
  void raise(std::chrono::nanoseconds total) noexcept {
    if (total > granted_) extend(total - granted_);
  }
  [[nodiscard]] bool spent() const noexcept { return state_ != BudgetState::fine; }
  /// More time was used than granted, whatever the state tells of.
  [[nodiscard]] bool overdrawn() const noexcept { return left_ <= std::chrono::nanoseconds::zero(); }

 private:
  friend class BudgetScope;
  friend struct BudgetMeter;
  std::chrono::nanoseconds granted_;
  std::chrono::nanoseconds left_;
  BudgetState state_ = BudgetState::fine;
};

/// While it lives, the CPU time of this thread is charged to the budget; in PCRE2 and libinjection an overrun ends the
/// work, elsewhere it is found at the scope's end. Scopes do not nest.
class BudgetScope {
 public:
  explicit BudgetScope(Budget& budget) noexcept;
  ~BudgetScope();
  BudgetScope(const BudgetScope&) = delete;
  BudgetScope& operator=(const BudgetScope&) = delete;

 private:
  Budget& budget_;  // outlives the scope: both are the transaction's
};

/// Says whether the calling thread's current scope is spent; looks at the clock when `work` says that it is time to.
/// `work` is a rough number of nanoseconds that passed since the last call.
[[nodiscard]] bool budget_spent(std::size_t work) noexcept;

/// The calling thread's current scope is spent from now on.
void fail_budget(BudgetState why) noexcept;

/// True when libmodsecurity's own calls arrive at our definitions. Called once at start; without it a transaction's
/// time could not be bounded and errors would be taken for "no match".
[[nodiscard]] bool interposition_active();

/// Counts the calls that arrived on this thread while a scope lived; for tests and the self-test.
[[nodiscard]] std::size_t interposed_calls() noexcept;

}  // namespace gatehouse::waf
