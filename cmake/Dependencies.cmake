# Every third-party library, all from Debian. Each is linked PRIVATE by the one module that is its home.
pkg_check_modules(fmt REQUIRED IMPORTED_TARGET GLOBAL fmt)                  # formatting, everywhere
pkg_check_modules(yaml_cpp REQUIRED IMPORTED_TARGET GLOBAL yaml-cpp)        # config/
pkg_check_modules(re2 REQUIRED IMPORTED_TARGET GLOBAL re2)                  # config/ and proxy/: tenants' path expressions
pkg_check_modules(idn2 REQUIRED IMPORTED_TARGET GLOBAL libidn2)             # config/: host names as A-labels
pkg_check_modules(modsecurity REQUIRED IMPORTED_TARGET GLOBAL modsecurity)  # waf/
if(GATEHOUSE_SCREEN)  # waf/screen/: all patterns in one pass (Hyperscan), JSON and XML as libmodsecurity reads them
  pkg_check_modules(hs REQUIRED IMPORTED_TARGET GLOBAL libhs)
  pkg_check_modules(yajl REQUIRED IMPORTED_TARGET GLOBAL yajl)
  pkg_check_modules(libxml2 REQUIRED IMPORTED_TARGET GLOBAL libxml-2.0)
endif()
pkg_check_modules(pcre2 REQUIRED IMPORTED_TARGET GLOBAL libpcre2-8)         # waf/: patterns are tried before libmodsecurity sees them
pkg_check_modules(nghttp2 REQUIRED IMPORTED_TARGET GLOBAL libnghttp2)        # gateway/http
pkg_check_modules(hiredis REQUIRED IMPORTED_TARGET GLOBAL hiredis)          # ratelimit/
find_package(OpenSSL REQUIRED)                                              # acme/, gateway/net
find_package(nlohmann_json 3 REQUIRED)                                     # acme/: what CAs send
find_package(prometheus-cpp CONFIG REQUIRED)                                # gateway/runtime/metrics
