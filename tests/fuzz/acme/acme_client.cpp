// A flow of the ACME client whose CA is the input: what is wanted next is answered by the input's next line, as status,
// URL and body. Beyond "no crash":
// - a flow that is not done wants something, and time that it waits for is ahead and near
// - once the input is used up the CA is gone, and the flow ends soon
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "acme/client.hpp"
#include "tests/fuzz/require.hpp"

using namespace gatehouse::acme;
using gatehouse::fuzz::require;

namespace {

constexpr Time start{Seconds(1'796'000'000)};

const PrivateKey& account_key() {
  static const PrivateKey key = PrivateKey::generate(KeyType::ecdsa_p256);
  return key;
}

// Lines of the input: a digit for the status, a digit for fields, and the body or what stands in for it.
class Answers {
 public:
  explicit Answers(std::string_view input) : input_(input) {}

  [[nodiscard]] bool empty() const noexcept { return input_.empty(); }

  std::string_view next_line() {
    const std::size_t end = std::min(input_.find('\n'), input_.size());
    const std::string_view line = input_.substr(0, end);
    input_.remove_prefix(std::min(end + 1, input_.size()));
    return line;
  }

  std::optional<HttpResponse> next() {
    std::string_view line = next_line();
    if (line.size() < 2 || line[0] == 'x') return std::nullopt;
    HttpResponse response;
    switch (line[0]) {
      case '1': response.status = 201; break;
      case '3': response.status = 302; break;
      case '4': response.status = 400; break;
      case '5': response.status = 503; break;
      default: response.status = 200;
    }
    const unsigned fields = static_cast<unsigned char>(line[1]);
    line.remove_prefix(2);
    if ((fields & 1) != 0) response.nonce = "bm9uY2U";
    if ((fields & 2) != 0) response.location = "https://ca/o/1";
    if ((fields & 4) != 0) response.retry_after = std::string(line.substr(0, line.find(' ')));
    if ((fields & 8) != 0) response.link = "<https://ca/c/2>;rel=alternate";
    response.body = std::string(line);
    std::ranges::replace(response.body, '\r', '\n');  // of PEM
    return response;
  }

 private:
  std::string_view input_;
};

template <class T>
void drive(Conversation& conversation, Flow<T> flow, Answers& answers) {
  using Want = Conversation::Want;
  Time now = start;
  conversation.set_now(now);
  flow.start();
  int wants_without_ca = 0;
  while (!flow.is_done()) {
    if (answers.empty()) require(++wants_without_ca < 1'000, "a flow ends once the CA is gone");
    switch (conversation.want()) {
      case Want::nothing: require(false, "a flow that is not done wants something"); break;
      case Want::send: {
        require(is_usable_url(conversation.request().url), "a URL that is asked may be asked");
        auto response = answers.next();
        if (response)
          conversation.deliver(*std::move(response), now);
        else
          conversation.lost("gone", now);
        break;
      }
      case Want::wait:
        require(conversation.until() > now, "time that is waited for is ahead");
        require(conversation.until() <= now + Seconds(600), "and near");
        now = conversation.until();
        conversation.proceed(now);
        break;
      case Want::present:
        require(!conversation.presentations().empty(), "there is something to present");
        conversation.proceed(now);
        break;
      case Want::keep:
        require(!conversation.progress().key.empty(), "there is something to keep");
        conversation.proceed(now);
        break;
    }
  }
  require(conversation.want() == Want::nothing, "a flow that is done wants nothing");
  static_cast<void>(flow.result());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  Answers answers({reinterpret_cast<const char*>(data) + 1, size - 1});
  Conversation conversation;
  Client client(conversation, "https://ca/dir");
  client.use_account(account_key(), "https://ca/a/1");
  OrderRequest request;
  request.identifiers = {{Identifier::Type::dns, "a.example"}};
  request.preferred_chain = "Root";
  request.replaces = "eA.B2U";
  switch (data[0]) {
    case 'a': drive(conversation, client.register_account({}, nullptr), answers); break;
    case 'k': drive(conversation, client.change_key(account_key()), answers); break;
    case 'r': drive(conversation, client.revoke("der", 1, nullptr), answers); break;
    case 'i': drive(conversation, client.renewal_info("eA.B2U"), answers); break;
    case 'p':
      drive(conversation, client.obtain(request, Progress{"https://ca/o/1", account_key().to_pem()}), answers);
      break;
    default: drive(conversation, client.obtain(request, std::nullopt), answers);
  }
  return 0;
}
