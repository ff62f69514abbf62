// Certificates that are replaced; see certificate_slot.hpp.
#include "gateway/net/certificate_slot.hpp"

namespace gatehouse::net {

std::shared_ptr<const ServerTls> LazyServerTls::get() const {
  std::call_once(once_, [this] {
    made_ = make_();
    make_ = nullptr;  // and what it held
  });
  return made_;
}

}  // namespace gatehouse::net
