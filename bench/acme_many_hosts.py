#!/usr/bin/env python3
"""Five hundred hosts of fifty tenants, one tenant's unreachable for the CA: how soon the others have their certificates.

Usage: bench/acme_many_hosts.py [--binary build/gatehouse] [--tenants 50] [--hosts 10] [--watch 300]; run by hand.
Two gateways on one Redis; the CA is Pebble. The names of one tenant lead to an address where nobody answers. Exit 1 when
another's host has no certificate after ten minutes, a name was validated in vain more than five times while watched (less
than an hour), or more orders were placed than there are hosts to serve, besides the failing ones.
"""
import argparse
import collections
import json
import os
import re
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "integration"))
sys.dont_write_bytecode = True

# pylint: disable=wrong-import-position
from harness.acme import Fleet, accounts, acme_tenant, orders  # noqa: E402
from harness.certificates import Authority  # noqa: E402
from harness.polling import poll  # noqa: E402
from harness.redis_server import RedisServer  # noqa: E402
from nginx_upstream import nginx_upstream  # noqa: E402

NOBODY, FAILING, MOST_FAILURES = "127.0.0.9", "t0", 5


def host(tenant, number):
    return f"h{number}.{tenant}.example.test"


def lead_nowhere(pebble, name):
    body = json.dumps({"host": name + ".", "addresses": [NOBODY]}).encode()
    urllib.request.urlopen(pebble.control + "/add-a", data=body, timeout=5).close()


def states(gateway):
    """{host: whether it has a certificate of the CA's}"""
    return {each["name"]: not each["certificate"]["self_signed"] for tenant in gateway.status_page()["tenants"]
            for each in tenant["hosts"] if each["certificate"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.environ.get("GATEHOUSE", os.path.join(ROOT, "build", "gatehouse")))
    parser.add_argument("--tenants", type=int, default=50)
    parser.add_argument("--hosts", type=int, default=10, help="of each tenant")
    parser.add_argument("--watch", type=float, default=300, help="seconds, from the start")
    options = parser.parse_args()
    os.environ["GATEHOUSE"] = options.binary
    names = {f"t{i}": [host(f"t{i}", number) for number in range(options.hosts)] for i in range(options.tenants)}
    good = {name for tenant, hosts in names.items() if tenant != FAILING for name in hosts}
    with tempfile.TemporaryDirectory() as folder, nginx_upstream() as upstream, RedisServer() as redis:
        authority = Authority(Path(folder))
        tenants = {tenant: acme_tenant(tenant, upstream, hosts) for tenant, hosts in names.items()}
        with Fleet(Path(folder), authority, upstream, redis, 2, None, tenants=tenants) as fleet:
            for name in names[FAILING]:
                lead_nowhere(fleet.pebble, name)
            began = time.monotonic()
            fleet.start()

            def all_have():
                shown = [states(gateway) for gateway in fleet.gateways]
                return all(each.get(name) for each in shown for name in good)
            poll(all_have, "the certificates of all that can be reached", deadline=600)
            took = time.monotonic() - began
            print(f"{len(good)} certificates on both gateways after {took:.1f} s", flush=True)
            placed = orders(fleet.pebble)
            time.sleep(max(0.0, options.watch - (time.monotonic() - began)))
            failures = collections.Counter(re.findall(r"no certificate for (\S*?\.t0\.example\.test)", "".join(
                gateway.log for gateway in fleet.gateways)))
            served = sum(states(fleet.gateways[0]).values())
            later = orders(fleet.pebble)
            is_one_account = accounts(fleet.pebble) == (1, 0)
    most = max(failures.values(), default=0)
    surplus = later - len(good) - sum(failures.values())
    print(f"{served} served; {placed} orders then, {later} after {options.watch:.0f} s; the unreachable names failed {min(failures.values(), default=0)} "
          f"to {most} times each; {surplus} orders for nothing; {'one account' if is_one_account else 'MORE THAN ONE ACCOUNT'}")
    sys.exit(0 if 0 < most <= MOST_FAILURES and surplus <= 0 and is_one_account else 1)


if __name__ == "__main__":
    main()
