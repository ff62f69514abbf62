"""Families that work on the written text: YAML's own tricks, encodings, and mutations of valid files.

Each takes (rng, case, text) and returns (bytes, intent).
"""
from document import ANY, HARMLESS, REFUSE


def inserted(rng, text, line):
    """`line` before one of the top-level keys."""
    lines = text.split("\n")
    starts = [i for i, each in enumerate(lines) if each[:1].isalpha()] + [len(lines) - 1]
    lines.insert(rng.choice(starts), line)
    return "\n".join(lines)


LAUGHS = "a0: &a0 lol\n" + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12))
LINES = [
    "x: &anchor y", "x: *anchor", "<<: {tenant: other}", "<<: *anchor", "? tenant\n: other", "? [a, b]\n: c", "? {a: b}\n: c", "tenant: other", '"tenant": other', "'tenant': other", "\"te\\x6eant\": other", "hosts: []",
    "tenant : other", "!!str tenant: other", "x: !!python/object/apply:os.system [id]", "x: !!python/name:os.system", "x: !!binary aGk=", "x: !<tag:yaml.org,2002:str> y", "x: !custom {a: b}", "!include /etc/passwd", "x: !include /etc/passwd",
    "x: !ENV ${PATH}", "x: ! y", "---", "...", "--- x", "...\n---\ntenant: other", "%YAML 1.2", "%TAG ! tag:x,2000:", "\ttenant: x", " x: y", "- x", "x", "[", "]", "{", "}", "\"", "'", "@x: y", "`x: y", "x: @y", "x: `y", "x: %y", ": x",
    "x: y: z", "x: [a, b", "x: {a: b", "x: 'a", "x: \"a", "x: \"\\q\"", "x: \"\\ud800\"", "x: \"\\x\"", "x: \"\\U00110000\"", "x: |9\n a", "x: >-2\n a", "x: |\na", "x: &a [*a]", "&a x: y", "*a : y", "x: [&a 1, *a]", "&b tenant: other",
    "null: x", "~: x", "true: x", "1: x", "[]: x", "{}: x", "? x", "?", "x: ? y", "x: - y", "\ufeffx: y", "x\u2028tenant: other", "x: y\u0085tenant: other", "#\u2028tenant: other",
]
HARMLESS_LINES = ["# comment", "#", "", "# \u202e", "#\t", "   ", "# tenant: other", "# &anchor *alias !!tag"]


def yaml_tricks(rng, case, text):
    kind = rng.random()
    if kind < 0.65:
        line = rng.choice(LINES)
        case.note = repr(line)
        # What looks like a comment or a folded line to one reader may be harmless: the oracle reads it for itself.
        intent = ANY if line in (" x: y", "...", "---", "\ttenant: x", "]", "x", "- x", "?") else REFUSE
        return inserted(rng, text, line).encode("utf-8", "surrogatepass"), intent
    if kind < 0.72:
        line = rng.choice(HARMLESS_LINES)
        case.note = repr(line)
        return inserted(rng, text, line).encode(), HARMLESS
    bombs = {
        "billion laughs": lambda: text + LAUGHS,
        "deep lists": lambda: text + "x: " + "[" * rng.choice([33, 1000, 100000]) + "\n",
        "deep mappings": lambda: text + "x: " + "{a: " * rng.choice([33, 1000, 50000]) + "\n",
        "deep closed lists": lambda: text + "x: " + "[" * 5000 + "]" * 5000 + "\n",
        "deep blocks": lambda: text + "".join(" " * i + "a:\n" for i in range(rng.choice([40, 500]))),
        "deep sequences": lambda: text + "x: " + "- " * 5000 + "\n",
        "long key": lambda: text + "x" * rng.choice([1025, 100000, 2000000]) + ": y\n",
        "long value": lambda: text + "x: " + "y" * 3000000 + "\n",
        "long line of blanks": lambda: text + "x:" + " " * 1000000 + "y\n",
        "many keys": lambda: text + "".join(f"k{i}: v\n" for i in range(rng.choice([200, 60000]))),
        "many values": lambda: text + "x: [" + "1," * 110000 + "]\n",
        "question marks": lambda: text + "? " * 20000 + "\n",
        "flow keys": lambda: text + "x: {" + "a," * 30000 + "}\n",
        "many anchors": lambda: text + "".join(f"k{i}: &a{i} v\n" for i in range(20000)),
        "many quotes": lambda: text + "x: " + "''" * 100000 + "\n",
        "many errors": lambda: text + "".join(f"k{i}: [\n" for i in range(100)),
        "many documents": lambda: text + "---\n" * 50000,
        "too large": lambda: text + "# " + "x" * (5 << 20) + "\n",
        "newlines": lambda: text + "\n" * 3000000 + "x: y\n",
        "escapes": lambda: text + "x: \"" + "\\u0041" * 200000 + "\"\n",
        "folded": lambda: text + "x: >\n" + " a\n\n" * 200000,
        "comments": lambda: text + "# x\n" * 500000 + "x: y\n",
    }
    case.note = rng.choice(list(bombs))
    case.alone = True
    return bombs[case.note]().encode(), REFUSE


def yaml_bytes(rng, case, text):
    data = text.encode()
    middle = rng.randrange(len(data))
    while middle > 0 and data[middle - 1:middle] != b"\n":
        middle -= 1
    middle = middle or data.index(b"\n") + 1  # a line's beginning, but not the first's
    kinds = {
        "UTF-16LE with mark": (b"\xff\xfe" + text.encode("utf-16-le"), REFUSE), "UTF-16BE with mark": (b"\xfe\xff" + text.encode("utf-16-be"), REFUSE), "UTF-16LE": (text.encode("utf-16-le"), REFUSE),
        "UTF-32": (text.encode("utf-32"), REFUSE), "UTF-7": (b"+/v8-" + data, REFUSE), "EBCDIC": (text.encode("cp500", "replace"), REFUSE), "byte order mark": (b"\xef\xbb\xbf" + data, HARMLESS),
        "two marks": (b"\xef\xbb\xbf" * 2 + data, REFUSE), "mark in the middle": (data[:middle] + b"\xef\xbb\xbf" + data[middle:], REFUSE), "CRLF": (data.replace(b"\n", b"\r\n"), HARMLESS), "CR": (data.replace(b"\n", b"\r"), REFUSE),
        "CR CR LF": (data.replace(b"\n", b"\r\r\n"), REFUSE), "LF CR": (data.replace(b"\n", b"\n\r"), REFUSE), "mixed ends": (data.replace(b"\n", b"\r\n", 2), HARMLESS), "NUL at the end": (data + b"\0", REFUSE),
        "NUL first": (b"\0" + data, REFUSE), "NUL and more": (data + b"\0tenant: other\n", REFUSE), "control": (data[:middle] + bytes([rng.choice([1, 7, 8, 11, 12, 27, 31, 127])]) + data[middle:], REFUSE),
        "latin-1": (data + b"# caf\xe9\n", REFUSE), "overlong slash": (data + b"# \xc0\xaf\n", REFUSE), "surrogate": (data + b"# \xed\xa0\x80\n", REFUSE), "beyond Unicode": (data + b"# \xf4\x90\x80\x80\n", REFUSE),
        "cut character": (data + b"# \xe2\x82", REFUSE), "no newline at the end": (data.rstrip(b"\n"), HARMLESS), "next line": (data.replace(b"\n", b"\xc2\x85"), REFUSE), "line separators": (data.replace(b"\n", b"\xe2\x80\xa8"), REFUSE),
        "tabs for blanks": (data.replace(b"\n  ", b"\n\t"), ANY), "no-break blanks": (data.replace(b": ", b":\xc2\xa0"), REFUSE), "empty": (b"", REFUSE), "blanks": (b"   \n\n", REFUSE), "a comment": (b"# x\n", REFUSE), "null": (b"null\n", REFUSE),
        "a list": (b"- " + data.replace(b"\n", b"\n  "), REFUSE), "a word": (b"tenant", REFUSE), "a number": (b"1", REFUSE), "{}": (b"{}", REFUSE), "[]": (b"[]", REFUSE), "JSON in a string": (b'"' + data.replace(b'"', b"'").replace(b"\n", b" ") + b'"', REFUSE),
        "binary": (bytes(rng.randrange(256) for _ in range(3000)), REFUSE), "gzip": (b"\x1f\x8b\x08" + data, REFUSE), "an ELF": (b"\x7fELF" + data, REFUSE), "a script": (b"#!/bin/sh\nid\n" + data, REFUSE),
        "trailing blanks": (data.replace(b"\n", b"   \n"), ANY), "capitals": (data.upper(), REFUSE), "only a mark": (b"\xef\xbb\xbf", REFUSE),
    }
    case.note = rng.choice(list(kinds))
    return kinds[case.note]


PIECES = [b"&a ", b"*a", b"!!x ", b"---\n", b"...\n", b"? ", b": ", b":", b"- ", b"[", b"]", b"{", b"}", b",", b"\"", b"'", b"|", b">", b"#", b" #", b"\n", b"\r", b"\t", b"  ", b"\0", b"\xff", b"\xc2\x85", b"\xe2\x80\xa8", b"\xef\xbb\xbf", b"%", b"@",
          b"`", b"\\", b"<<: ", b"tenant: honest-a\n", b"alpha.honest.test", b"127.0.0.1", b"off", b"~", b"null", b"true", b"0", b"9" * 30, b"/etc/passwd", b"../", b"A" * 300, b"\x1b[31m", b"SecRuleEngine Off\n", b"%{ENV.PATH}"]


def mutations(rng, case, text):
    """A valid file with random edits; what comes out is whatever the oracle proves it to be."""
    data = bytearray(text.encode())
    case.note = "random edits"
    for _ in range(rng.choice([1, 1, 1, 2, 4])):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(8)
        if kind == 0:
            data[at:at] = rng.choice(PIECES)
        elif kind == 1:
            del data[at:at + rng.randrange(1, 6)]
        elif kind == 2 and at < len(data):
            data[at] = rng.choice([rng.randrange(256), rng.randrange(32, 127), rng.choice(b" :-\"'\n[]{},#")])
        elif kind == 3:
            data[at:at + 2] = rng.choice(PIECES)
        else:
            lines = bytes(data).split(b"\n")
            i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
            if kind == 4:
                lines.insert(j, lines[i])
            elif kind == 5:
                lines[i], lines[j] = lines[j], lines[i]
            elif kind == 6:
                del lines[i]
            else:
                lines[i] = rng.choice([b" ", b"  ", b"    "]) + lines[i] if rng.random() < 0.5 else lines[i][rng.randrange(1, 3):]
            data = bytearray(b"\n".join(lines))
    return bytes(data), ANY


TEXTS = {family.__name__: family for family in (yaml_tricks, yaml_bytes, mutations)}
