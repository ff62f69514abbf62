#!/usr/bin/env bash
# Every measurement that has a bound, one after the other, on a machine that does nothing else: about an hour.
# Usage: bench/all.sh [FOLDER for the outputs, default build/bench]; exit 1 when one missed its bound.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=${1:-build/bench}
mkdir -p "$folder"
failed=0
measure() {
  local name=$1 begin=$SECONDS
  shift
  if "$@" >"$folder/$name.txt" 2>&1; then local result=ok; else local result="MISSED ($?)"; failed=1; fi
  printf '%-20s %-12s %4d s\n' "$name" "$result" $((SECONDS - begin))
  tail -n 3 "$folder/$name.txt" | sed 's/^/    /'
}
python=/usr/bin/python3
export GATEHOUSE=$PWD/build/gatehouse
measure waf_flood "$python" bench/waf_flood.py --seconds 10
measure redis_faults "$python" bench/redis_faults.py
measure many_tenants "$python" bench/many_tenants.py
measure slow_clients "$python" bench/slow_clients.py
measure bad_day "$python" bench/bad_day.py
measure reloads "$python" bench/reloads.py
measure hostile "$python" tests/hostile/run.py --count 20000 --live
measure big_transfer "$python" bench/big_transfer.py
measure certificate_swaps "$python" bench/certificate_swaps.py
measure many_certificates "$python" bench/many_certificates.py
measure acme_many_hosts "$python" bench/acme_many_hosts.py
measure acme_takeovers "$python" bench/acme_takeovers.py
exit "$failed"
