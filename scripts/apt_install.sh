#!/usr/bin/env bash
# Installs the packages named, as root, without questions and without starting their services: a developer's
# machine need not run the Redis and nginx that tests start for themselves. Called by scripts/packages.sh.
set -euo pipefail

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
made_policy=no
clean_up() {
  rm -f "$log"
  [[ $made_policy == no ]] || rm -f "$policy"
}
trap clean_up EXIT

# invoke-rc.d asks this file whether a service may start; 101 is no. One that the machine has is left alone.
if [[ ! -e $policy ]]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod 755 "$policy"
  made_policy=yes
fi

# Quiet unless something fails. An index that cannot be refreshed is no failure yet: the old one may do.
apt-get update >"$log" 2>&1 || printf 'setup: apt-get update failed, trying with the index that is there\n' >&2
if ! apt-get install --yes --no-install-recommends -o Dpkg::Options::=--force-confold -o DPkg::Lock::Timeout=300 "$@" \
  >>"$log" 2>&1; then
  cat "$log" >&2
  printf 'setup: the packages could not be installed\n' >&2
  exit 1
fi
