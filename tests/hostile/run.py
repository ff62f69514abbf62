"""Hostile tenant files against a gateway: GATEHOUSE=/path/to/gatehouse /usr/bin/python3 tests/hostile/run.py --count 20000 --live

Prints its seed; the same seed gives the same files. --family NAME (repeatable) takes these alone, --only N the file of that number,
--show writes the files that failed. Ends with the counts by family, and with 1 if anything failed.
"""
import argparse
import collections
import secrets
import sys
import time

from world import World  # first: it finds the harness
from checking import Checking
from generator import WEIGHTS, generate
from harness.upstream import Upstream
from live import Live


def describe(case, words, show):
    print(f"FAILED {case.number} {case.family} [{case.intent}] {case.note[:160]}\n       {words[:500]}", flush=True)
    if show:
        print(case.text.decode("utf-8", "backslashreplace")[:3000])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--family", action="append", choices=list(WEIGHTS))
    parser.add_argument("--only", type=int, help="the number of one file")
    parser.add_argument("--live", action="store_true", help="also against a running gateway that serves others meanwhile")
    parser.add_argument("--live-count", type=int, default=2500)
    parser.add_argument("--tenant-rules", choices=["true", "trusted", "false"], default="true")
    parser.add_argument("--show", action="store_true")
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else secrets.randbelow(1 << 32)
    print(f"seed {seed}", flush=True)
    failed = 0
    with Upstream() as upstream:
        world = World(upstream, tenant_rules=options.tenant_rules)
        checking = Checking(world, lambda case, words: describe(case, words, options.show))
        start = time.monotonic()
        first, count = (options.only, 1) if options.only else (1, options.count)
        checking.run(generate(world, seed, count, options.family, first))
        print(f"{count} files in {time.monotonic() - start:.0f} s; the honest two alone {checking.base_seconds:.2f} s, {checking.base_memory >> 20} MiB; "
              f"slowest {checking.slowest[0]:.2f} s ({checking.slowest[1]}), largest +{checking.largest[0] >> 20} MiB ({checking.largest[1]})")
        total = collections.Counter()
        for family, counts in sorted(checking.counts.items()):
            print(f"  {family:20} {counts['refused']:6} refused {counts['harmless']:6} harmless")
            total += counts
        print(f"  {'all':20} {total['refused']:6} refused {total['harmless']:6} harmless; {len(checking.failures)} failures", flush=True)
        failed += len(checking.failures)
        world.gateway.discard()
        if options.live:
            live = Live(upstream, seed, options.live_count, options.family)
            failed += live.run()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
