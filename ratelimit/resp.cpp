// RESP2 over hiredis's reader; see resp.hpp. The reader is given our own object functions, which build RespValue
// directly and enforce the bound on elements before anything is allocated for them.
#include "ratelimit/resp.hpp"

#include <hiredis/read.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <new>
#include <utility>

namespace gatehouse::ratelimit {

namespace {

constexpr std::size_t kMaxElements = 100'000;
constexpr std::size_t kMaxLineBytes = 64 * 1024;  // a status, an error, a length: Redis's are far shorter

/// What the callbacks of one reader share; hiredis hands it to them as `privdata`.
struct Building {
  RespValue root;
  std::size_t elements = 0;
  bool too_many_elements = false;
};

Building& building(const redisReadTask* task) { return *static_cast<Building*>(task->privdata); }

/// Where the value of this task goes: the root, or a new last item of the array that is being read. Only the innermost
/// array ever grows, so pointers to the arrays around it stay valid.
RespValue& place(const redisReadTask* task) {
  if (task->parent == nullptr) {
    building(task).root = RespValue{};
    return building(task).root;
  }
  return static_cast<RespValue*>(task->parent->obj)->items.emplace_back();
}

/// hiredis is C: nothing may be thrown through it. A null object makes it report "out of memory".
template <typename Fill>
void* fill(const redisReadTask* task, RespValue::Type type, Fill&& set) noexcept {
  try {
    RespValue& value = place(task);
    value.type = type;
    set(value);
    return &value;
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void* create_string(const redisReadTask* task, char* text, std::size_t length) {
  const auto type = task->type == REDIS_REPLY_STATUS  ? RespValue::Type::status
                    : task->type == REDIS_REPLY_ERROR ? RespValue::Type::error
                                                      : RespValue::Type::string;
  return fill(task, type, [&](RespValue& value) { value.text.assign(text, length); });
}

void* create_array(const redisReadTask* task, int elements) {
  Building& state = building(task);
  if (elements < 0 || static_cast<std::size_t>(elements) > kMaxElements - state.elements) {
    state.too_many_elements = true;
    return nullptr;
  }
  state.elements += static_cast<std::size_t>(elements);
  return fill(task, RespValue::Type::array, [](RespValue&) {});  // grows with what arrives, not with what is announced
}

void* create_integer(const redisReadTask* task, long long integer) {
  return fill(task, RespValue::Type::integer, [&](RespValue& value) { value.integer = integer; });
}

void* create_nil(const redisReadTask* task) {
  return fill(task, RespValue::Type::null, [](RespValue&) {});
}

void free_object(void*) {}  // the root is a member of the reader's state

redisReplyObjectFunctions object_functions{create_string, create_array, create_integer, create_nil, free_object};

struct ReaderDeleter {
  void operator()(redisReader* reader) const noexcept { redisReaderFree(reader); }
};

void append_length(std::string& out, char mark, std::uint64_t length) {
  std::array<char, 24> line;
  const auto [end, error] = std::to_chars(line.data(), line.data() + line.size(), length);
  out += mark;
  out.append(line.data(), end);
  out += "\r\n";
}

}  // namespace

struct RespReader::State {
  explicit State(std::size_t max_bytes)
      : max_reply_bytes(max_bytes), reader(redisReaderCreateWithFunctions(&object_functions)) {
    if (!reader) throw std::bad_alloc();
    reader->privdata = &building;
  }

  [[nodiscard]] std::size_t unread() const noexcept { return reader->len - reader->pos; }

  /// The item that is being read begins with a line: the whole of it, or the length of a bulk string.
  [[nodiscard]] bool has_line() const noexcept {
    const std::string_view begin{reader->buf + reader->pos, std::min(unread(), kMaxLineBytes)};
    return begin.find("\r\n") != std::string_view::npos;
  }

  std::size_t max_reply_bytes;
  Building building;
  std::unique_ptr<redisReader, ReaderDeleter> reader;
  std::uint64_t fed = 0;  // bytes in all
  std::uint64_t reply_start = 0;  // of these, those that belong to replies already given out
  std::string error;  // final
};

RespReader::RespReader(std::size_t max_reply_bytes) : state_(std::make_unique<State>(max_reply_bytes)) {}
RespReader::~RespReader() = default;
RespReader::RespReader(RespReader&&) noexcept = default;
RespReader& RespReader::operator=(RespReader&&) noexcept = default;

void RespReader::feed(std::string_view bytes) {
  State& state = *state_;
  if (!state.error.empty() || bytes.empty()) return;
  if (state.unread() > state.max_reply_bytes) {
    state.error = "replies pile up unread";
    return;
  }
  if (redisReaderFeed(state.reader.get(), bytes.data(), bytes.size()) != REDIS_OK) {
    state.error = "out of memory";
    return;
  }
  state.fed += bytes.size();
}

std::expected<std::optional<RespValue>, std::string> RespReader::next() {
  State& state = *state_;
  if (!state.error.empty()) return std::unexpected(state.error);
  void* reply = nullptr;
  if (redisReaderGetReply(state.reader.get(), &reply) != REDIS_OK) {
    state.error = state.building.too_many_elements     ? "reply has too many elements"
                  : state.reader->err == REDIS_ERR_OOM ? "out of memory"
                                                       : "not a RESP2 reply";
    return std::unexpected(state.error);
  }
  if (reply != nullptr) {
    const std::uint64_t reply_end = state.fed - state.unread();
    if (reply_end - state.reply_start > state.max_reply_bytes) {
      state.error = "reply is too large";
      return std::unexpected(state.error);
    }
    state.reply_start = reply_end;
    state.building.elements = 0;
    return std::move(state.building.root);
  }
  if (state.fed - state.reply_start > state.max_reply_bytes) {
    state.error = "reply is too large";
  } else if (state.unread() > kMaxLineBytes && !state.has_line()) {
    state.error = "reply has an endless line";  // which would be searched anew with each packet
  }
  if (!state.error.empty()) return std::unexpected(state.error);
  return std::nullopt;
}

void append_command_head(std::string& out, std::size_t arguments) { append_length(out, '*', arguments); }

void append_bulk(std::string& out, std::string_view argument) {
  append_length(out, '$', argument.size());
  out += argument;
  out += "\r\n";
}

void append_bulk(std::string& out, std::uint64_t argument) {
  std::array<char, 24> digits;
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), argument);
  append_bulk(out, std::string_view{digits.data(), end});
}

void append_command(std::string& out, std::span<const std::string_view> arguments) {
  append_command_head(out, arguments.size());
  for (const std::string_view argument : arguments) append_bulk(out, argument);
}

}  // namespace gatehouse::ratelimit
