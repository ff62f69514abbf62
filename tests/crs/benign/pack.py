#!/usr/bin/env python3
"""Packs recordings into the corpus: pack.py RECORDINGS CORPUS. One NAME.jsonl.xz for each application, and counts to stdout.

Of requests that are the same to the byte but for their numbers, so many are kept as `most_alike`: polls and pictures
would be most of the corpus otherwise.
"""
import base64
import collections
import glob
import json
import lzma
import os
import re
import sys

most_alike = 10


def alike(request):
    """What is left of a request when numbers and random words are taken out of its target and body."""
    line = request["head"].split("\r\n", 1)[0]
    body = base64.b64decode(request["body"])
    return re.sub(r"[0-9A-Za-z_-]{16,}|\d+", "#", line), re.sub(rb"[0-9A-Za-z_-]{16,}|\d+", b"#", body)


def main():
    source, target = sys.argv[1:]
    os.makedirs(target, exist_ok=True)
    for path in sorted(glob.glob(os.path.join(source, "*.jsonl"))):
        seen, kept, methods = collections.Counter(), [], collections.Counter()
        name = os.path.splitext(os.path.basename(path))[0]
        with open(path, encoding="utf-8") as file:
            for line in file:
                # What was told the tap's address would have known a name.
                line = re.sub(r"Host: 127\.0\.0\.1:\d+", f"Host: {name}.example.test", line, flags=re.IGNORECASE)
                request = json.loads(line)
                kind = alike(request)
                seen[kind] += 1
                if seen[kind] <= most_alike:
                    kept.append(line)
                    methods[request["head"].split(" ", 1)[0]] += 1
        with lzma.open(os.path.join(target, name + ".jsonl.xz"), "wt", encoding="utf-8", preset=9) as file:
            file.writelines(kept)
        print(f"| {name} | {len(kept)} | {sum(seen.values())} | " + ", ".join(f"{method} {count}" for method, count in methods.most_common()) + " |")


if __name__ == "__main__":
    main()
