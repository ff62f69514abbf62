#!/usr/bin/env python3
"""Ten gateways on one Redis, a new host, and the gateway that holds the lease killed at a random moment; many times.

Usage: bench/acme_takeovers.py [--binary build/gatehouse] [--rounds 50] [--seed N]; run by hand. The CA is Pebble.
Exit 1 when the certificate is not on all nine that live within two lifetimes of the lease after the death, more than two
orders were placed for it, or the CA has more than one account.
"""
import argparse
import os
import random
import sys
import tempfile
import time
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

GATEWAYS, LEASE_SECONDS, LONGEST_DELAY = 10, 10, 4.0


def take_over(fleet, upstream, root, number):
    """One round: how long the certificate took from the death on, and how many orders."""
    name = f"host-{number}.example.test"
    before = orders(fleet.pebble)
    leader = poll(fleet.leader, "a leader", deadline=30)
    for gateway in fleet.gateways:
        gateway.write_tenant("shop", acme_tenant("shop", upstream, [name]))
    delay = random.uniform(0, LONGEST_DELAY)
    time.sleep(delay)
    leader.kill()
    died = time.monotonic()
    fleet.turns.targets.remove(leader.http)
    poll(lambda: fleet.serve(name, root), "the certificate on those that live", deadline=6 * LEASE_SECONDS)
    seconds = time.monotonic() - died
    placed = orders(fleet.pebble) - before
    fleet.turns.targets.append(leader.http)
    leader.start()
    poll(lambda: fleet.serve(name, root), "the certificate on the one that comes back", deadline=30)
    print(f"{number:3} killed after {delay:4.2f} s: on all others {seconds:5.2f} s later, {placed} orders", flush=True)
    return seconds, placed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.environ.get("GATEHOUSE", os.path.join(ROOT, "build", "gatehouse")))
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    os.environ["GATEHOUSE"] = options.binary
    random.seed(options.seed)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder, nginx_upstream() as upstream, RedisServer() as redis:
        authority = Authority(Path(folder))
        with Fleet(Path(folder), authority, upstream, redis, GATEWAYS, ["first.example.test"], pebble={"sleep": 1}) as fleet:
            fleet.start()
            root = fleet.pebble.root()
            poll(lambda: fleet.serve("first.example.test", root), "the first certificate", deadline=60)
            rounds = [take_over(fleet, upstream, root, number) for number in range(options.rounds)]
            seconds, placed = max(item[0] for item in rounds), max(item[1] for item in rounds)
            is_one_account = accounts(fleet.pebble) == (1, 0)
    print(f"{options.rounds} deaths of {GATEWAYS} gateways' leader: at most {seconds:.1f} s (bound {2 * LEASE_SECONDS}), at most {placed} "
          f"orders (bound 2), {'one account' if is_one_account else 'MORE THAN ONE ACCOUNT'}")
    sys.exit(0 if seconds <= 2 * LEASE_SECONDS and placed <= 2 and is_one_account else 1)


if __name__ == "__main__":
    main()
