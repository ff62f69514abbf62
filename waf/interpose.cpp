// Definitions of pcre2_match_8, pcre2_jit_match_8, libinjection_sqli and libinjection_xss that stand before the
// libraries' own; see interpose.hpp. They must be in the executable's dynamic symbol table.
#include "waf/interpose.hpp"

#include <dlfcn.h>
#include <time.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <memory>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "waf/library.hpp"
#include "waf/match_timer.hpp"
#include "waf/modsecurity.hpp"
#include "waf/pattern_cache.hpp"
#include "waf/rule_hooks.hpp"

namespace gatehouse::waf {
namespace {

// One match may take this many steps, as far as PCRE2 counts them: its own default. With a tenth of it, harmless texts
// of 100 KiB (minified scripts, package lists) were errors; what takes long is ended by the timer.
constexpr std::uint32_t match_limit = 10'000'000;
constexpr std::size_t jit_stack_start_bytes = std::size_t{64} * 1024;
constexpr std::size_t jit_stack_max_bytes = std::size_t{1024} * 1024;  // deeper patterns fall back to the interpreter
constexpr std::uint32_t heap_limit_kibibytes = 16 * 1024;  // the interpreter's backtracking frames

// A clock is read when this much work (about nanoseconds) has gone by.
constexpr std::size_t work_between_readings = 20'000;
// CLOCK_THREAD_CPUTIME_ID is a system call (500 ns on a virtual machine), CLOCK_MONOTONIC is not (20 ns). A thread
// cannot use more CPU than time goes by: within a scope, CPU is asked for only when the time that went by since it was
// last known could have used up the budget, or is longer than this and the timer is to be set.
constexpr std::chrono::nanoseconds short_time = std::chrono::milliseconds(1);
constexpr std::size_t work_per_call = 60;
constexpr std::size_t work_per_byte = 1;  // a scan of one byte; what backtracks is caught by the next reading

std::chrono::nanoseconds read_clock(clockid_t clock) noexcept {
  timespec now{};
  clock_gettime(clock, &now);
  return std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec);
}

}  // namespace

/// What the thread's current scope has used since it began.
struct BudgetMeter {
  Budget* budget = nullptr;  // null: nothing is charged
  std::chrono::nanoseconds cpu_start{0};
  std::chrono::nanoseconds known{0};  // used, when the CPU clock was last read
  std::chrono::nanoseconds known_at{0};  // on the wall clock
  std::size_t work = 0;  // since a clock was last read
  std::size_t calls = 0;

  void fail(BudgetState why) noexcept {
    if (budget->state_ == BudgetState::fine) budget->state_ = why;
  }
  bool charge(std::size_t amount) noexcept {
    if (budget->state_ != BudgetState::fine) return true;
    work += amount;
    if (work < work_between_readings) return false;
    work = 0;
    if (known + since_known() < budget->left_ || used() < budget->left_) return false;
    fail(BudgetState::time);
    return true;
  }
  void start() noexcept {
    known_at = read_clock(CLOCK_MONOTONIC);
    cpu_start = read_clock(CLOCK_THREAD_CPUTIME_ID);
    known = std::chrono::nanoseconds::zero();
    work = 0;
  }
  /// What is left, for the timer: rather a little more than that.
  std::chrono::nanoseconds about_left() noexcept {
    return budget->left_ - (since_known() < short_time ? known : used());
  }
  std::chrono::nanoseconds left() noexcept { return budget->left_ - used(); }
  std::chrono::nanoseconds used() noexcept {
    known_at = read_clock(CLOCK_MONOTONIC);
    known = read_clock(CLOCK_THREAD_CPUTIME_ID) - cpu_start;
    return known;
  }
  [[nodiscard]] std::chrono::nanoseconds since_known() const noexcept { return read_clock(CLOCK_MONOTONIC) - known_at; }
};

namespace {

thread_local constinit BudgetMeter meter;

struct MatchContextDeleter {
  void operator()(pcre2_match_context* context) const noexcept { pcre2_match_context_free(context); }
};
struct JitStackDeleter {
  void operator()(pcre2_jit_stack* stack) const noexcept { pcre2_jit_stack_free(stack); }
};

// One a thread: a JIT stack must not be used by two matches at once.
struct MatchContext {
  std::unique_ptr<pcre2_jit_stack, JitStackDeleter> stack;
  std::unique_ptr<pcre2_match_context, MatchContextDeleter> context;

  MatchContext()
      : stack(pcre2_jit_stack_create(jit_stack_start_bytes, jit_stack_max_bytes, nullptr)),
        context(pcre2_match_context_create(nullptr)) {
    if (!context) return;  // out of memory: the library's defaults then apply
    pcre2_set_match_limit(context.get(), match_limit);
    pcre2_set_heap_limit(context.get(), heap_limit_kibibytes);
    if (stack) pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
};

pcre2_match_context* limited_context() {
  static thread_local MatchContext ours;
  return ours.context.get();
}

MatchTimer& match_timer() {
  static thread_local MatchTimer ours;
  return ours;
}

// Looks the next definition up; without it the process could not match anything, so that it may as well end.
template <typename Function>
Function* next_definition(const char* name) {
  void* symbol = dlsym(RTLD_NEXT, name);
  if (symbol == nullptr) std::abort();
  return reinterpret_cast<Function*>(symbol);
}

using Match = int(const pcre2_code*, PCRE2_SPTR, PCRE2_SIZE, PCRE2_SIZE, std::uint32_t, pcre2_match_data*,
                  pcre2_match_context*);
using Sqli = int(const char*, std::size_t, char*);
using Xss = int(const char*, std::size_t);

// A subject of this length or more is matched under a timer: what PCRE2 does not count grows with the square of the
// length, and below it stays in the order of a millisecond. Of the platform's patterns: a tenant's may take twice the
// time for each byte more.
constexpr PCRE2_SIZE timed_subject_bytes = 2048;

// JIT code with the rest of the budget as its bound. Nothing in here but trivial objects: it is left by a jump.
[[clang::noinline]] int timed_jit_match(Match* real, MatchTimer& timer, std::chrono::nanoseconds left,
                                        const pcre2_code* code, PCRE2_SPTR subject, PCRE2_SIZE length,
                                        PCRE2_SIZE offset, std::uint32_t options, pcre2_match_data* data,
                                        pcre2_match_context* context) {
  if (sigsetjmp(timer.landing, 0) != 0) return PCRE2_ERROR_MATCHLIMIT;
  timer.arm(left);
  const int result = real(code, subject, length, offset, options, data, context);
  timer.disarm();
  return result;
}

int charged_match(Match* real, bool falls_back, const pcre2_code* code, PCRE2_SPTR subject, PCRE2_SIZE length,
                  PCRE2_SIZE offset, std::uint32_t options, pcre2_match_data* data, pcre2_match_context* context) {
  if (meter.budget == nullptr) return real(code, subject, length, offset, options, data, context);
  ++meter.calls;
  const std::size_t work = work_per_call + work_per_byte * (length > offset ? length - offset : 0);
  if (meter.charge(work)) return PCRE2_ERROR_MATCHLIMIT;
  if (context == nullptr) context = limited_context();
  int result = PCRE2_ERROR_NOMATCH;
  const bool timed = length - std::min(offset, length) >= timed_subject_bytes || own_rule_runs();
  if (falls_back && timed && match_timer().usable()) {
    const std::chrono::nanoseconds left = meter.about_left();
    result = timed_jit_match(real, match_timer(), left, code, subject, length, offset, options, data, context);
    if (result == PCRE2_ERROR_MATCHLIMIT && meter.left() <= std::chrono::nanoseconds::zero())
      meter.fail(BudgetState::time);
  } else {
    result = real(code, subject, length, offset, options, data, context);
  }
  if (result >= PCRE2_ERROR_PARTIAL) return result;  // a match, no match, a partial one
  // pcre2_jit_match out of stack: the library then calls pcre2_match without JIT.
  if (falls_back && result == PCRE2_ERROR_JIT_STACKLIMIT) return result;
  meter.fail(BudgetState::match_limit);
  return result;
}

}  // namespace

BudgetScope::BudgetScope(Budget& budget) noexcept : budget_(budget) {
  meter.budget = &budget_;
  meter.start();
  cache_patterns(true);
}

BudgetScope::~BudgetScope() {
  cache_patterns(false);
  budget_.left_ -= meter.used();
  if (budget_.left_ <= std::chrono::nanoseconds::zero()) meter.fail(BudgetState::time);
  meter.budget = nullptr;
}

bool budget_spent(std::size_t work) noexcept { return meter.budget != nullptr && meter.charge(work); }

void fail_budget(BudgetState why) noexcept {
  if (meter.budget != nullptr) meter.fail(why);
}

std::size_t interposed_calls() noexcept { return meter.calls; }

bool interposition_active() {
  install_match_timer();
  // A regular expression, and both libinjection functions, through libmodsecurity itself.
  modsecurity::RulesSet rules;
  {
    const std::lock_guard lock(parse_mutex());
    if (rules.load("SecRuleEngine On\n"
                   "SecRule REQUEST_METHOD \"@rx ^SELF\" \"id:1,phase:1,pass,nolog\"\n"
                   "SecRule REQUEST_METHOD \"@detectSQLi\" \"id:2,phase:1,pass,nolog\"\n"
                   "SecRule REQUEST_METHOD \"@detectXSS\" \"id:3,phase:1,pass,nolog\"\n"
                   "SecRule REQUEST_METHOD \"@contains SELFTEST\" \"id:4,phase:1,pass,nolog,msg:'a',logdata:'b',"
                   "setvar:'tx.a=%{REQUEST_METHOD}',t:none,"
                   "t:removeNulls,t:replaceNulls,t:removeWhitespace,t:removeCommentsChar\"\n") < 0) {
      return false;
    }
  }
  char id[] = "self-test";
  modsecurity::Transaction transaction(&thread_library(), &rules, id, nullptr);
  Budget budget(std::chrono::seconds(10));
  const std::size_t before = meter.calls;
  {
    const BudgetScope scope(budget);
    transaction.processConnection("127.0.0.1", 1, "127.0.0.1", 1);
    transaction.processURI("/", "SELFTEST", "1.1");
    transaction.processRequestHeaders();
  }
  return meter.calls == before + 3 && !budget.spent() && rule_hooks_active() && linear_functions_active();
}

}  // namespace gatehouse::waf

#define GATEHOUSE_EXPORT __attribute__((visibility("default"), used))

extern "C" {

GATEHOUSE_EXPORT int pcre2_match_8(const pcre2_code_8* code, PCRE2_SPTR8 subject, PCRE2_SIZE length, PCRE2_SIZE offset,
                                   std::uint32_t options, pcre2_match_data_8* data, pcre2_match_context_8* context) {
  static auto* const real = gatehouse::waf::next_definition<gatehouse::waf::Match>("pcre2_match_8");
  return gatehouse::waf::charged_match(real, false, code, subject, length, offset, options, data, context);
}

GATEHOUSE_EXPORT int pcre2_jit_match_8(const pcre2_code_8* code, PCRE2_SPTR8 subject, PCRE2_SIZE length,
                                       PCRE2_SIZE offset, std::uint32_t options, pcre2_match_data_8* data,
                                       pcre2_match_context_8* context) {
  static auto* const real = gatehouse::waf::next_definition<gatehouse::waf::Match>("pcre2_jit_match_8");
  return gatehouse::waf::charged_match(real, true, code, subject, length, offset, options, data, context);
}

// Both are linear in the input; what matters is that they stop with the rest once the budget is spent.
GATEHOUSE_EXPORT int libinjection_sqli(const char* input, std::size_t length, char fingerprint[8]);
GATEHOUSE_EXPORT int libinjection_sqli(const char* input, std::size_t length, char fingerprint[8]) {
  static auto* const real = gatehouse::waf::next_definition<gatehouse::waf::Sqli>("libinjection_sqli");
  auto& meter = gatehouse::waf::meter;
  if (meter.budget != nullptr) {
    ++meter.calls;
    if (meter.charge(1000 + 20 * length)) {
      fingerprint[0] = '\0';
      return 0;
    }
  }
  return real(input, length, fingerprint);
}

GATEHOUSE_EXPORT int libinjection_xss(const char* input, std::size_t length);
GATEHOUSE_EXPORT int libinjection_xss(const char* input, std::size_t length) {
  static auto* const real = gatehouse::waf::next_definition<gatehouse::waf::Xss>("libinjection_xss");
  auto& meter = gatehouse::waf::meter;
  if (meter.budget != nullptr) {
    ++meter.calls;
    if (meter.charge(500 + 10 * length)) return 0;
  }
  return real(input, length);
}

}  // extern "C"
