#!/usr/bin/python3
"""The requests of CRS's regression tests, a line each, for screen_compare: requests_of_crs.py TESTS > FILE.jsonl

TESTS is tests/regression/tests of coreruleset's repository, of 3.3 or 4. What the gateway refuses before the rules see it,
and bodies in chunks, are left out.
"""
import base64
import json
import os
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "crs"))

from suite import read_suite  # noqa: E402
from violations import violations  # noqa: E402


def main():
    kept = 0
    stages = read_suite(sys.argv[1])
    for stage in stages:
        if violations(stage.data) or b"chunked" in stage.data.lower():
            continue
        head, _, body = stage.data.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        print(json.dumps({"head": head.decode("latin-1") + "\r\n\r\n", "body": base64.b64encode(body).decode()}))
        kept += 1
    print(f"{kept} of {len(stages)} requests", file=sys.stderr)


if __name__ == "__main__":
    main()
