#!/usr/bin/env python3
"""Checks that the folders include each other in one direction only, and that each third-party library is included
only where it is at home. Called by `./dev lint`; tested by tests/lint/test_check_layers.py.

    config <- { waf, ratelimit, acme } <- runtime <- net <- http <- upstream <- filter <- proxy <- server <- main

A folder may include itself and what stands to its left. waf, ratelimit and acme know neither each other nor gateway/.
A library's home may have headers of its own that include the library, as long as nobody outside includes these.
Usage: check_layers.py [ROOT]; exit 0 fine, 1 with one line for each violation.
"""
import re
import sys
from pathlib import Path

# A folder's place in the order; folders of the same place must not include each other.
RANKS = {
    "config": 0,
    "waf": 1, "ratelimit": 1, "acme": 1,
    "gateway/runtime": 2,
    "gateway/net": 3,
    "gateway/http": 4,
    "gateway/upstream": 5,
    "gateway/filter": 6,
    "gateway/proxy": 7,
    "gateway/server": 8,
    "gateway": 9,  # main.cpp alone
}

# A library, its headers, the files that may include them (directly or through a header), and how to call these.
HOMES = [
    ("yaml-cpp", r"yaml-cpp/", r"config/[^/]+", "config/"),
    ("libidn2", r"idn2\.h$", r"config/[^/]+", "config/"),
    ("libmodsecurity", r"modsecurity/", r"waf/(screen/)?[^/]+", "waf/"),
    ("PCRE2", r"pcre2(posix)?\.h$", r"waf/(screen/)?[^/]+", "waf/"),
    ("Hyperscan", r"(hs/)?(hs|hs_[a-z]+|ch)\.h$", r"waf/screen/[^/]+", "waf/screen/"),
    ("yajl", r"yajl/", r"waf/screen/[^/]+", "waf/screen/"),
    ("libxml2", r"libxml/", r"waf/screen/[^/]+", "waf/screen/"),
    ("hiredis", r"hiredis/|(hiredis|async|read|sds)\.h$", r"ratelimit/resp\.[a-z]+", "ratelimit/resp.*"),
    ("nlohmann-json", r"nlohmann/", r"acme/[^/]+", "acme/"),
    ("nghttp2", r"nghttp2/", r"gateway/http/h2_[^/]+", "gateway/http/h2_*"),
    ("prometheus-cpp", r"prometheus/", r"gateway/runtime/metrics\.[a-z]+", "gateway/runtime/metrics.*"),
]

# The folders of the product, and those that may use it but that it must not use.
PRODUCT = ("config", "waf", "ratelimit", "acme", "gateway")
OUTSIDE = ("tests", "bench", "demo")

SOURCE_SUFFIXES = {".hpp", ".cpp", ".h", ".cc", ".ipp"}
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"([^"\n]+)"|<([^>\n]+)>)', re.MULTILINE)
# Comments are blanked, string literals kept (an include's own name looks like one).
COMMENT_OR_STRING = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"', re.DOTALL)


def without_comments(text):
    def blank(match):
        found = match.group(0)
        return found if found.startswith('"') else re.sub(r"[^\n]", " ", found)
    return COMMENT_OR_STRING.sub(blank, text)


def module_of(path):
    """'gateway/net/tls.hpp' -> 'gateway/net'; 'gateway/main.cpp' -> 'gateway'; None outside of the product."""
    parts = path.split("/")
    if parts[0] not in PRODUCT:
        return None
    if parts[0] == "gateway" and len(parts) > 2:
        return "/".join(parts[:2])
    return parts[0]


def check_include(path, included, quoted):
    """The reason why `path` must not include `included`, or None."""
    for library, header, home, where in HOMES:
        if re.match(header, included) and not re.fullmatch(home, path):
            return f"{library} is at home in {where} only"
    top = included.split("/")[0]
    if top in OUTSIDE:
        return f"the product does not depend on {top}/"
    target = module_of(included) if "/" in included else None
    if target is None:
        return "project headers are named from the root, others in <>" if quoted else None
    if not quoted:
        return 'project headers are included in ""'
    own = module_of(path)
    if target not in RANKS:
        return f"{target}/ has no place in the order"
    if target == own:
        return None
    if RANKS[target] == RANKS[own]:
        return f"{own} and {target} do not know each other"
    if RANKS[target] > RANKS[own]:
        return f"{own} stands to the left of {target}"
    return None


def includes_of(root):
    """path -> [(included, quoted, line)] of every source file of the product."""
    found = {}
    for folder in PRODUCT:
        for file in sorted((root / folder).rglob("*")):
            if file.suffix in SOURCE_SUFFIXES and file.is_file():
                text = without_comments(file.read_text(encoding="utf-8"))
                found[file.relative_to(root).as_posix()] = [
                    (match.group(1) or match.group(2), match.group(1) is not None, text.count("\n", 0, match.start()) + 1)
                    for match in INCLUDE.finditer(text)]
    return found


def libraries_behind(header, includes):
    """The entries of HOMES whose headers come with a project header, however deep."""
    seen, pending, behind = {header}, [header], []
    while pending:
        for included, _, _ in includes.get(pending.pop(), []):
            behind += [entry for entry in HOMES if re.match(entry[1], included) and entry not in behind]
            if included not in seen:
                seen.add(included)
                pending.append(included)
    return behind


def violations(root):
    """One "file:line: include of HEADER: reason" for each violation below `root`."""
    found = []
    includes = includes_of(root)
    for path, included_by_path in includes.items():
        if module_of(path) not in RANKS:
            found.append(f"{path}:1: {module_of(path)}/ has no place in the order")
            continue
        for included, quoted, line in included_by_path:
            reason = check_include(path, included, quoted)
            if reason:
                found.append(f"{path}:{line}: include of {included}: {reason}")
                continue
            # Reported where the library leaves its home, not again by everyone further on.
            for library, _, home, where in libraries_behind(included, includes):
                if re.fullmatch(home, included) and not re.fullmatch(home, path):
                    found.append(f"{path}:{line}: include of {included}: brings {library}, which is at home in {where} only")
    return found


def main(arguments):
    root = Path(arguments[1]) if len(arguments) > 1 else Path(__file__).resolve().parent.parent
    found = violations(root)
    for violation in found:
        print(violation)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
