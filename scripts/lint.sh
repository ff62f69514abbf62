#!/usr/bin/env bash
# Every check that needs no build; with --tidy also clang-tidy, which does. All findings of all checks are shown, then
# the exit code says whether there were any. Called by `./dev lint`.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit
python=/usr/bin/python3
failed=()

check() {  # NAME command...
  local name=$1
  shift
  printf 'lint: %s\n' "$name"
  "$@" || failed+=("$name")
}

# Tracked files that still exist, and new ones that are not ignored.
sources() {
  local file
  git ls-files --cached --others --exclude-standard -- "$@" | sort -u | while read -r file; do
    [[ ! -f $file ]] || printf '%s\n' "$file"
  done
}

shell_scripts() {
  { printf '%s\n' dev .ci/run; sources '*.sh'; } | xargs shellcheck --external-sources
}
python_sources() {
  sources '*.py' | PYTHONPYCACHEPREFIX=build/pycache xargs -r "$python" -m compileall -q
}
# Each check is shown to catch what it is there to catch.
tests_of_checks() {
  local test wrong=0
  for test in tests/lint/test_*.py; do
    "$python" -B "$test" || wrong=1
  done
  return "$wrong"
}
formatting() {
  local file unformatted=0
  while read -r file; do
    clang-format-19 "$file" | cmp --silent - "$file" && continue
    printf '%s:1: not formatted; ./dev format does it\n' "$file"
    unformatted=1
  done < <(sources '*.cpp' '*.hpp')
  return "$unformatted"
}
tidy() {
  cmake --preset dev --log-level=WARNING >/dev/null || return
  sources '*.cpp' | xargs -r -n 4 -P "$(nproc)" clang-tidy-19 --quiet -p build/dev --warnings-as-errors='*'
}

check "dependency order" "$python" cmake/check_layers.py
check "text and links" "$python" scripts/check_text.py
check "tests of the checks" tests_of_checks
check "shell scripts" shell_scripts
check "Python syntax" python_sources
check "C++ formatting" formatting
if [[ ${1:-} == --tidy ]]; then
  check "clang-tidy" tidy
fi

if ((${#failed[@]})); then
  printf 'lint: failed: %s\n' "$(IFS=,; echo "${failed[*]}")" >&2
  exit 1
fi
printf 'lint: all fine\n'
