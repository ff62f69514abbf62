# The Debian packages that each task needs, and their installation. Sourced by ./dev; no other system is provided for.
# shellcheck shell=bash

# Recommended packages are not installed, so whatever is needed is named.
packages_build=(
  clang-19 lld-19 llvm-19 libclang-rt-19-dev cmake ninja-build ccache pkg-config
  libmodsecurity-dev libpcre2-dev libyaml-cpp-dev libre2-dev libidn2-dev libfmt-dev libhiredis-dev libssl-dev libnghttp2-dev
  prometheus-cpp-dev nlohmann-json3-dev libcli11-dev libmimalloc-dev libgtest-dev libgmock-dev
  python3
)
# A second opinion for tests and fuzz targets: Beast on messages, Boost.JSON on schemas, libxml2 on XML bodies. Debian 12's
# default Boost has no JSON yet, its newer one has.
case $(. /etc/os-release 2>/dev/null && printf '%s' "${VERSION_CODENAME:-}") in
  bookworm) packages_fuzz=(libboost1.81-dev libxml2-dev) ;;
  *) packages_fuzz=(libboost-dev libxml2-dev) ;;
esac
packages_demo=(python3 curl openssl redis-server redis-tools modsecurity-crs ca-certificates)
packages_test=(
  python3 python3-pytest python3-websockets python3-h2 python3-hpack python3-yaml nghttp2-client curl openssl ca-certificates
  redis-server redis-tools modsecurity-crs nginx-light libnginx-mod-http-modsecurity wrk chromium git pebble bind9 bind9-dnsutils
)
packages_bench=(python3 openssl nginx-light libnginx-mod-http-modsecurity haproxy wrk nghttp2-client)
packages_lint=(clang-format-19 clang-tidy-19 shellcheck python3 git)

# Prints the packages of the named sets that are not installed.
missing_packages() {
  local name wanted=() installed
  for name; do
    case $name in
      build) wanted+=("${packages_build[@]}") ;;
      fuzz) wanted+=("${packages_fuzz[@]}") ;;
      demo) wanted+=("${packages_demo[@]}") ;;
      test) wanted+=("${packages_test[@]}") ;;
      bench) wanted+=("${packages_bench[@]}") ;;
      lint) wanted+=("${packages_lint[@]}") ;;
      all) wanted+=("${packages_build[@]}" "${packages_fuzz[@]}" "${packages_demo[@]}" "${packages_test[@]}" "${packages_bench[@]}" "${packages_lint[@]}") ;;
      *) printf 'dev: unknown set of packages: %s\n' "$name" >&2; return 2 ;;
    esac
  done
  # One that is unknown to dpkg makes it exit 1 after it has listed the others.
  installed=$(dpkg-query --show --showformat='${db:Status-Status} ${Package}\n' "${wanted[@]}" 2>/dev/null |
    sed -n 's/^installed //p' || true)
  comm -23 <(printf '%s\n' "${wanted[@]}" | sort -u) <(sort -u <<<"$installed")
}

# Installs what is missing of the named sets; without a download when nothing is.
install_packages() {
  local missing as_root=()
  command -v dpkg-query >/dev/null || {
    printf 'dev: no dpkg here: install the equivalents of scripts/packages.sh yourself\n' >&2
    return 0
  }
  missing=$(missing_packages "$@") || return
  [[ -n $missing ]] || return 0
  if (($(id -u) != 0)); then
    command -v sudo >/dev/null || {
      printf 'dev: run as root (or install sudo), these packages are missing:\n%s\n' "$missing" >&2
      return 1
    }
    as_root=(sudo)
  fi
  printf '\n== setup: installing %s\n' "$(tr '\n' ' ' <<<"$missing")"
  # Unquoted on purpose: one package a word.
  # shellcheck disable=SC2086
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 "$BASH" scripts/apt_install.sh $missing </dev/null
}
