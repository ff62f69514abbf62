#!/usr/bin/env python3
"""Hundreds of tenants of the default WAF policy: how long the gateway takes to start, and what each costs in memory.

Usage: bench/many_tenants.py [--binary build/gatehouse] [--tenants 400] [--seconds 3] [--kib 64]; run by hand.
Exit 1 when the start takes longer or a tenant costs more than so much.
"""
import argparse
import os
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness.gateway import Gateway, tenant  # noqa: E402
from harness.upstream import Upstream  # noqa: E402


def started(upstream, count):
    """Seconds until the gateway is ready, and its resident memory a second later."""
    tenants = {f"t{number:04}": tenant(f"t{number:04}", upstream, waf={"mode": "block"}) for number in range(count)}
    gateway = Gateway(tenants, start=False)
    begin = time.monotonic()
    gateway.start()
    seconds = time.monotonic() - begin
    try:
        for name in (min(tenants), max(tenants)):
            assert gateway.request("/?id=1%27%20OR%20%271%27=%271", host=f"{name}.test").status == 403
        time.sleep(1)
        return seconds, gateway.memory_bytes()
    finally:
        gateway.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.path.join(ROOT, "build", "gatehouse"))
    parser.add_argument("--tenants", type=int, default=400)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--kib", type=float, default=64.0)
    options = parser.parse_args()
    os.environ["GATEHOUSE"] = options.binary
    with Upstream(record=False) as upstream:
        _, alone = started(upstream, 1)
        seconds, together = started(upstream, options.tenants + 1)
    each = (together - alone) / options.tenants / 1024
    print(f"{options.tenants + 1} tenants: start {seconds:.2f} s, {together / (1 << 20):.0f} MiB, {each:.1f} KiB for each beyond the first")
    return 1 if seconds > options.seconds or each > options.kib else 0


if __name__ == "__main__":
    sys.exit(main())
