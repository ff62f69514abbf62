#include "waf/screen/patterns.hpp"

#include <hs/hs.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <map>
#include <mutex>
#include <utility>

namespace gatehouse::waf::screen {
namespace {

struct MatchData {
  pcre2_match_data* data = pcre2_match_data_create(20, nullptr);
  MatchData() = default;
  ~MatchData() { pcre2_match_data_free(data); }
  MatchData(const MatchData&) = delete;
  MatchData& operator=(const MatchData&) = delete;
};

// Scratch space of a thread, large enough for every set that it has scanned with.
struct Scratch {
  hs_scratch_t* space = nullptr;
  Scratch() = default;
  ~Scratch() { hs_free_scratch(space); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
};
thread_local Scratch scratch;

constexpr unsigned expression_flags =
    HS_FLAG_DOTALL | HS_FLAG_MULTILINE | HS_FLAG_SINGLEMATCH | HS_FLAG_ALLOWEMPTY | HS_FLAG_PREFILTER;

// What of a phrase is not a letter or a digit, by its number: nothing in it is an operator.
std::string as_expression(const PatternSet::Entry& entry) {
  if (!entry.is_phrase) return entry.text;
  std::string out = "(?i)";
  constexpr char digits[] = "0123456789abcdef";
  for (const char c : entry.text) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z') {
      out += c;
    } else {
      out += "\\x";
      out += digits[byte >> 4];
      out += digits[byte & 0xF];
    }
  }
  return out;
}

}  // namespace

std::optional<Pattern> Pattern::compile(const std::string& expression) {
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* const code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(expression.data()), expression.size(),
                                         PCRE2_DOTALL | PCRE2_MULTILINE, &error, &at, nullptr);
  if (code == nullptr) return std::nullopt;
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
  Pattern made;
  made.code_ = std::shared_ptr<void>(code, [](void* held) { pcre2_code_free(static_cast<pcre2_code*>(held)); });
  return made;
}

Pattern::Result Pattern::match(std::string_view text, std::vector<std::string_view>* groups) const {
  static thread_local const MatchData match;
  const int count = pcre2_match(static_cast<const pcre2_code*>(code_.get()), reinterpret_cast<PCRE2_SPTR>(text.data()),
                                text.size(), 0, 0, match.data, nullptr);
  if (count == PCRE2_ERROR_NOMATCH) return Result::no;
  if (count <= 0) return Result::unknown;
  if (groups == nullptr) return Result::yes;
  groups->clear();
  const PCRE2_SIZE* const offsets = pcre2_get_ovector_pointer(match.data);
  for (int group = 0; group < count; ++group) {
    const PCRE2_SIZE begin = offsets[2 * group];
    const PCRE2_SIZE end = offsets[2 * group + 1];
    groups->push_back(begin == PCRE2_UNSET || end < begin ? std::string_view{} : text.substr(begin, end - begin));
  }
  return Result::yes;
}

struct PatternSet::Database {
  hs_database_t* database = nullptr;
  std::size_t bytes = 0;
  std::uint64_t number = [] {
    static std::atomic<std::uint64_t> last = 0;
    return ++last;
  }();
  ~Database() { hs_free_database(database); }
};

PatternSet::~PatternSet() = default;

bool PatternSet::supported() noexcept { return hs_valid_platform() == HS_SUCCESS; }

bool PatternSet::can_hold(const Entry& entry) {
  hs_expr_info_t* info = nullptr;
  hs_compile_error_t* error = nullptr;
  const bool holds = hs_expression_info(as_expression(entry).c_str(), expression_flags, &info, &error) == HS_SUCCESS;
  std::free(info);
  hs_free_compile_error(error);
  return holds;
}

std::shared_ptr<const PatternSet> PatternSet::make(const std::vector<Entry>& entries) {
  std::vector<std::string> expressions;
  std::string key;
  for (const Entry& entry : entries) {
    expressions.push_back(as_expression(entry));
    key += std::to_string(entry.id) + ':' + expressions.back() + '\0';
  }
  static std::mutex mutex;
  static std::map<std::string, std::weak_ptr<const PatternSet>> known;
  const std::lock_guard lock(mutex);
  std::erase_if(known, [](const auto& entry) { return entry.second.expired(); });
  if (const auto found = known.find(key); found != known.end())
    if (auto set = found->second.lock()) return set;

  std::vector<const char*> texts;
  std::vector<unsigned> flags(entries.size(), expression_flags);
  std::vector<unsigned> ids;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    texts.push_back(expressions[i].c_str());
    ids.push_back(entries[i].id);
  }
  std::shared_ptr<PatternSet> made(new PatternSet);
  made->database_ = std::make_unique<Database>();
  hs_compile_error_t* error = nullptr;
  const hs_error_t result =
      hs_compile_multi(texts.data(), flags.data(), ids.data(), static_cast<unsigned>(texts.size()), HS_MODE_BLOCK,
                       nullptr, &made->database_->database, &error);
  hs_free_compile_error(error);
  if (result != HS_SUCCESS) return nullptr;
  hs_database_size(made->database_->database, &made->database_->bytes);
  known[key] = made;
  return made;
}

bool PatternSet::scan(std::string_view text, std::vector<std::uint32_t>& ids) const {
  // The space only grows; which sets it is large enough for is remembered by numbers that are never used again.
  static thread_local std::vector<std::uint64_t> prepared;
  if (std::ranges::find(prepared, database_->number) == prepared.end()) {
    if (hs_alloc_scratch(database_->database, &scratch.space) != HS_SUCCESS) return false;
    constexpr std::size_t most = 64;
    if (prepared.size() == most) prepared.erase(prepared.begin());
    prepared.push_back(database_->number);
  }
  const auto found = [](unsigned id, unsigned long long, unsigned long long, unsigned, void* context) {
    static_cast<std::vector<std::uint32_t>*>(context)->push_back(id);
    return 0;
  };
  static constexpr char nothing = '\0';
  const char* const bytes = text.empty() ? &nothing : text.data();
  return hs_scan(database_->database, bytes, static_cast<unsigned>(text.size()), 0, scratch.space, found, &ids) ==
         HS_SUCCESS;
}

std::size_t PatternSet::bytes() const noexcept { return database_->bytes; }

}  // namespace gatehouse::waf::screen
