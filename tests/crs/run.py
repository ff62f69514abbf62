#!/usr/bin/python3
"""Compares the gateway with nginx and ModSecurity over CRS's regression tests.

    run.py --tests DIR --setup FILE --rules GLOB... [--overrides FILE] [--settings FILE]

GATEHOUSE=/path/to/gatehouse names the gateway's binary. Ends with 1 if there is a difference that is not listed, with its
reason, in known_differences.yaml. See README.md.
"""
import argparse
import collections
import glob
import os
import re
import sys
import urllib.parse

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import yaml  # noqa: E402

import targets  # noqa: E402
from backend import Backend  # noqa: E402
from suite import read_overrides, read_suite  # noqa: E402
from violations import violations  # noqa: E402

BOTH, OUT_OF_SCOPE, REFUSED, FAILED = "both pass", "peer fails", "gateway refuses, with reason", "FAILED"
ENCODED_MARK = b"GET /a%3Fb/<script>alert(1)</script> HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


def own_refusal(result):
    """The answer is the side's own, given instead of handing the request on: what the rules saw of it, if anything, is not
    comparable."""
    return not result.answer.from_backend


def passes_at_gateway(stage, peer, subject):
    """What the suite expects of everybody or what it expects of the peer's platform: either will do.

    Some tests look for words of ModSecurity's log. The gateway's events have other words (and mask them): where both sides
    have matched the same rules, what the peer's log says is taken as said.
    """
    lines = subject.lines + (peer.lines if peer and peer.rules == subject.rules else "")
    return any(expected.met_by(subject.answer, subject.rules, lines) for expected in (stage.expected, stage.original))


def classify(stage, peer, subject):
    """(class, reason). `peer` is None where there is none: then the suite's own expectation stands for it."""
    passes = passes_at_gateway(stage, peer, subject)
    if peer is not None and not stage.expected.met_by(peer.answer, peer.rules, peer.lines):
        return OUT_OF_SCOPE, ""
    refused_alone = own_refusal(subject) and (peer is None or not own_refusal(peer))
    if passes and not (refused_alone and not stage.expected.statuses and not stage.expected.error):
        return BOTH, ""
    if own_refusal(subject) and (subject.answer.status or 0) >= 400:
        found = violations(stage.data)
        return (REFUSED, found[0]) if found else (FAILED, f"refused with {subject.answer.status}, and nothing is wrong with the request")
    return FAILED, f"answer {subject.answer.status}, rules {sorted(subject.rules)}"


def differing_rules(peer, subject):
    """(only the peer's, only the gateway's) for a request that both have handed on."""
    if own_refusal(peer) or own_refusal(subject):
        return set(), set()
    return peer.rules - subject.rules, subject.rules - peer.rules


class Known:
    """known_differences.yaml: a list of {tests: pattern, failed: true | peer_only: [ids], gateway_only: [ids], reason}."""

    def __init__(self, path):
        with open(path, encoding="utf-8") as file:
            self.entries = yaml.safe_load(file) or []
        self.used = collections.Counter()

    def _entries(self, name):
        return [(number, entry) for number, entry in enumerate(self.entries) if re.fullmatch(entry["tests"], name)]

    def failure(self, name):
        for number, entry in self._entries(name):
            if entry.get("failed"):
                self.used[number] += 1
                return True
        return False

    def unexplained(self, name, side, ids):
        for number, entry in self._entries(name):
            if explained := ids & set(entry.get(side, [])):
                self.used[number] += 1
                ids = ids - explained
        return ids


def compare(stages, peer, subject, known):
    """Prints what differs, counts classes and refusals; returns the number of unknown differences."""
    classes, reasons, problems = collections.Counter(), {}, 0
    equal = compared = alone = 0
    for index, stage in enumerate(stages):
        other = peer[index] if peer else None
        kind, reason = classify(stage, other, subject[index])
        if kind == FAILED and known.failure(stage.name):
            kind = "known difference"
        classes[kind] += 1
        if own_refusal(subject[index]) and subject[index].answer.status and not (other and own_refusal(other)):
            alone += 1
            reasons.setdefault((violations(stage.data) or ["not known"])[0], []).append(stage.name)
        if kind == FAILED:
            problems += 1
            print(f"FAILED {stage.name}: {reason}; expected {stage.expected}")
        if not other or own_refusal(other) or own_refusal(subject[index]):
            continue
        compared += 1
        missing, added = differing_rules(other, subject[index])
        equal += not missing and not added
        missing, added = known.unexplained(stage.name, "peer_only", missing), known.unexplained(stage.name, "gateway_only", added)
        if missing or added:
            problems += 1
            print(f"RULES {stage.name}: only the peer {sorted(missing)}, only the gateway {sorted(added)}")
    print(f"\n{'tests':34}{len(stages):6}")
    for kind, count in sorted(classes.items()):
        print(f"{kind:34}{count:6}")
    if peer:
        print(f"{'peer passes':34}{len(stages) - classes[OUT_OF_SCOPE]:6}  {100 * (1 - classes[OUT_OF_SCOPE] / len(stages)):.1f} %")
        print(f"{'handed on by both':34}{compared:6}\n{'  with equal rule ids':34}{equal:6}")
        print(f"{'not handed on by either':34}{sum(own_refusal(a) and own_refusal(b) for a, b in zip(peer, subject)):6}")
    print(f"{'refused by the gateway alone':34}{alone:6}")
    for reason, names in sorted(reasons.items(), key=lambda item: -len(item[1])):
        print(f"  {len(names):5}  {reason}: {', '.join(names)}")
    for number, entry in enumerate(known.entries):
        if known.used[number]:
            print(f"  known, {known.used[number]} times: {entry['reason']}")
    return problems


def encoded_mark_is_blocked(backend, rules, options):
    """%3F must not hide the rest of the path from the rules (CVE-2024-1019)."""
    with targets.Subject(backend, rules, options, mode="block") as gateway:
        status = targets.ask(("127.0.0.1", gateway.gateway.http_port), ENCODED_MARK, "GET", set()).status
    print(f"{urllib.parse.unquote('/a%253Fb/<script>alert(1)</script>')} with mode block: {status}")
    return status == 403


def files_of(patterns):
    """As nginx's include and the gateway expand them: sorted, each file once."""
    found = {}
    for pattern in patterns:
        names = sorted(glob.glob(pattern))
        if not names:
            raise SystemExit(f"no file matches {pattern}")
        found.update(dict.fromkeys(os.path.abspath(name) for name in names))
    return list(found)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tests", required=True, action="append", help="a folder of tests; may be given several times")
    parser.add_argument("--setup", required=True, help="crs-setup.conf")
    parser.add_argument("--rules", required=True, nargs="+", help="CRS's rules, files or globs")
    parser.add_argument("--settings", help="what the tests expect to be set; default: settings-3.conf or settings-4.conf by the setup's version")
    parser.add_argument("--overrides", help="what the peer's platform answers differently (CRS 4: nginx-overrides.yaml)")
    parser.add_argument("--underscores", choices=["refuse", "allow"], default="refuse", help="field names with _; allow: both sides take them")
    parser.add_argument("--known", default=os.path.join(HERE, "known_differences.yaml"))
    parser.add_argument("--without-peer", action="store_true", help="the gateway alone against the tests' own expectations")
    parser.add_argument("--dump", help="a file that gets every request with both sides' statuses, rules and log lines")
    options = parser.parse_args(arguments)

    missing = [] if options.without_peer else targets.missing_for_peer()
    if missing:
        parser.error(f"the peer needs {', '.join(missing)} (Debian: nginx-light, libnginx-mod-http-modsecurity); or --without-peer")
    if not options.settings:
        with open(options.setup, encoding="utf-8") as file:
            version = re.search(r"tx\.crs_setup_version=(\d)", file.read())
        options.settings = os.path.join(HERE, f"settings-{version[1] if version else 3}.conf")
    rules = files_of([options.setup, options.settings, *options.rules])
    overrides = read_overrides(options.overrides)
    stages = [stage for folder in options.tests for stage in read_suite(folder, overrides)]
    known = Known(options.known)
    with Backend() as backend:
        peer = None
        if not options.without_peer:
            with targets.Peer(backend, rules, options) as side:
                peer = side.results(stages)
        with targets.Subject(backend, rules, options) as side:
            subject = side.results(stages)
        if options.dump:
            targets.dump(options.dump, stages, peer, subject)
        problems = compare(stages, peer, subject, known)
        problems += not encoded_mark_is_blocked(backend, files_of([options.setup, *options.rules]), options)
    print(f"{problems} differences that nobody has explained" if problems else "no unexplained difference")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
