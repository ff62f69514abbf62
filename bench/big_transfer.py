#!/usr/bin/env python3
"""2 GiB up and 2 GiB down through the gateway, with a fast and a slow peer on either side: its memory must not follow.

Usage: bench/big_transfer.py [--binary build/gatehouse] [--size GIB] [--limit MIB] [--hosts A,B]; run by hand, from anywhere.
Prints one line for each transfer: rate, and by how much the process has grown at most; exit 1 if one is over the limit.
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
from harness.transfer import download, sized_upstream, upload  # noqa: E402


def slow():
    """At most 200 MiB/s: slower than the other side, so that buffers would fill if there were no back-pressure."""
    time.sleep(0.00125)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", default=os.path.join(ROOT, "build", "gatehouse"))
    parser.add_argument("--size", type=float, default=2.0, help="GiB (default 2)")
    parser.add_argument("--limit", type=float, default=32.0, help="MiB that the process may grow by (default 32)")
    parser.add_argument("--hosts", default="plain.test,tls.test,waf.test")
    options = parser.parse_args()
    os.environ["GATEHOUSE"] = options.binary
    size = int(options.size * (1 << 30))
    hosts = [{"name": "plain.test", "tls": "off"}, {"name": "tls.test", "tls": {"self_signed": True}}]
    passing = {"mode": "block", "body": {"limit": "1MiB", "over_limit": "pass_uninspected"}}
    failed = 0
    with sized_upstream() as server, Gateway({
            "shop": tenant(upstream=server, hosts=hosts),
            "waf": tenant("waf", server, hosts=[{"name": "waf.test", "tls": {"self_signed": True}}], waf=passing)},
            {"limits": {"body_bytes": f"{int(options.size) + 1}GiB"}}) as gateway:
        for host in options.hosts.split(","):
            secure = host != "plain.test"
            for name, transfer, pause, server.pause in (
                    ("upload", upload, None, None), ("download", download, None, None), ("upload, slow client", upload, slow, None),
                    ("upload, slow upstream", upload, None, slow), ("download, slow client", download, slow, None)):
                gateway.request("/bytes/1", host=host, tls=secure or None)
                gateway.reset_peak_memory()
                before, begin = gateway.memory_bytes(), time.monotonic()
                with gateway.connect(tls=secure or None, server_name=host if secure else None, timeout=120) as connection:
                    transfer(connection, size, host=host, pause=pause)
                seconds = time.monotonic() - begin
                growth = (gateway.peak_memory_bytes() - before) / (1 << 20)
                verdict = "ok" if growth < options.limit else "TOO MUCH"
                failed += verdict != "ok"
                print(f"{host:10} {name:22} {size / seconds / (1 << 20):7.0f} MiB/s   grew by {growth:6.1f} MiB   {verdict}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
