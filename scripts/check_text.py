#!/usr/bin/env python3
"""Checks every tracked text file for stray blanks and line ends, and every Markdown file for links that lead nowhere.
Called by `./dev lint`; tested by tests/lint/test_check_text.py.

Usage: check_text.py [ROOT]; exit 0 fine, 1 with one line for each finding.
"""
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

LINK = re.compile(r"(?<!\\)\[[^\]]*\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")

# Test data and fuzz seeds are what they are.
EXEMPT = re.compile(r"^tests/(fuzz|data)/|\.corpus/")


def check_blanks(text):
    """(line, finding) for what an editor should have removed."""
    if "\r" in text:
        yield text[: text.index("\r")].count("\n") + 1, "carriage return"
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip(" \t\r"):
            yield number, "blanks at the end of the line"
        if re.match(r"(<<<<<<<|>>>>>>>) ", line):
            yield number, "a merge was not finished"
    if text and not text.endswith("\n"):
        yield text.count("\n") + 1, "no newline at the end"
    elif text.endswith("\n\n"):
        yield text.count("\n"), "empty lines at the end"


def anchors(markdown):
    """The names that headings can be linked by."""
    names = set()
    for heading in re.findall(r"^#{1,6}\s+(.*?)\s*#*$", FENCE.sub("", markdown), re.MULTILINE):
        heading = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        names.add(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"))
    return names


def check_links(file, text, root):
    """(line, finding) for each link to a file or heading that does not exist."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group(0))
    prose = CODE.sub(blank, FENCE.sub(blank, text))
    for match in LINK.finditer(prose):
        target = match.group(1)
        if re.match(r"[a-z]+:", target):
            continue
        line = prose.count("\n", 0, match.start()) + 1
        path, _, anchor = target.partition("#")
        other = (file.parent / unquote(path)) if path else file
        if path.startswith("/") or not other.resolve().is_relative_to(root.resolve()):
            yield line, f"link out of the tree: {target}"
        elif not other.exists():
            yield line, f"link to nothing: {target}"
        elif anchor and other.suffix == ".md" and anchor not in anchors(other.read_text(encoding="utf-8")):
            yield line, f"no such heading: {target}"


def findings(root, names):
    found = []
    for name in names:
        file = root / name
        if EXEMPT.search(name) or not file.is_file() or file.is_symlink():
            continue
        data = file.read_bytes()
        if b"\0" in data:
            continue
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            found.append(f"{name}:1: not UTF-8")
            continue
        checks = list(check_blanks(text))
        if file.suffix == ".md":
            checks += check_links(file, text, root)
        found += [f"{name}:{line}: {finding}" for line, finding in checks]
    return found


def main(arguments):
    root = Path(arguments[1]) if len(arguments) > 1 else Path(__file__).resolve().parent.parent
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root, check=True,
                            stdout=subprocess.PIPE)
    found = findings(root, sorted(name for name in listed.stdout.decode().split("\0") if name))
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
