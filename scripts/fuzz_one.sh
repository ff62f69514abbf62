#!/usr/bin/env bash
# Runs one libFuzzer target for some seconds on a copy of its seeds; prints its output only when it finds something.
# Called by ./dev fuzz and ./dev test: scripts/fuzz_one.sh build/fuzz/fuzz_NAME SECONDS
set -euo pipefail
target=$1 seconds=$2
name=$(basename "$target")
name=${name#fuzz_}
folder=$(dirname "$target")
corpus=$folder/corpus/$name
findings=$folder/findings
log=$folder/$name.log
mkdir -p "$corpus" "$findings"

arguments=(-max_total_time="$seconds" -timeout=20 -rss_limit_mb=2048 -print_final_stats=1
  -artifact_prefix="$findings/$name-" "$corpus")
for seeds in tests/fuzz/*/"$name".corpus; do
  [[ ! -d $seeds ]] || arguments+=("$seeds")
done
for dictionary in tests/fuzz/*/"$name".dict; do
  [[ ! -f $dictionary ]] || arguments+=(-dict="$dictionary")
done

if ! "$target" "${arguments[@]}" >"$log" 2>&1; then
  tail -n 60 "$log" >&2
  printf 'fuzz %s: FAILED, input kept in %s\n' "$name" "$findings" >&2
  exit 255  # makes xargs stop at once
fi
printf 'fuzz %-16s %s runs, nothing found\n' "$name" \
  "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")"
