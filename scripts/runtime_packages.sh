#!/usr/bin/env bash
# Prints the Debian packages that own the shared libraries of a program, whatever they are called in this release.
# Called by the Dockerfile: scripts/runtime_packages.sh build/gatehouse
set -euo pipefail

ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' | while read -r library; do
  # The package may have registered the path on either side of the merged /usr.
  library=$(readlink -f "$library")
  dpkg-query --search "$library" 2>/dev/null ||
    dpkg-query --search "${library#/usr}" 2>/dev/null ||
    { printf 'no package owns %s\n' "$library" >&2; exit 1; }
done | sed 's/:.*//' | sort -u
