#!/usr/bin/env bash
# Runs one share of a program's unit tests; prints its output only when one fails.
# Called by ./dev test: scripts/unit_share.sh SHARES PROGRAM SHARE
set -euo pipefail
shares=$1 program=$2 share=$3
log=$(mktemp)
trap 'rm -f "$log"' EXIT

if ! GTEST_TOTAL_SHARDS=$shares GTEST_SHARD_INDEX=$share "$program" --gtest_brief=1 >"$log" 2>&1; then
  cat "$log" >&2
  printf '%s, share %s of %s: FAILED\n' "$(basename "$program")" "$((share + 1))" "$shares" >&2
  exit 255  # makes xargs stop at once
fi
passed=$(sed -n 's/.*PASSED *\] \([0-9]*\) test.*/\1/p' "$log")
if [[ -z $passed ]]; then
  cat "$log" >&2
  printf '%s, share %s: ran no test\n' "$(basename "$program")" "$((share + 1))" >&2
  exit 255
fi
printf '%-16s share %s of %s: %s tests passed\n' "$(basename "$program")" "$((share + 1))" "$shares" "$passed"
