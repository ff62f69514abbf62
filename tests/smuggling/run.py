#!/usr/bin/env python3
"""Ambiguous and malformed messages against the gateway and its peers, as a table.

  GATEHOUSE=build/gatehouse /usr/bin/python3 tests/smuggling/run.py --peers nginx,haproxy,caddy,nghttpx

The peers are Debian's packages nginx-light, haproxy, caddy, nghttp2-proxy. --only PART[/NAME] runs a part (requests, legal, answers,
downgrades, legal-h2)
or one case and tells all about it; --names lists every failure.
"""
import argparse
import concurrent.futures
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True

import answers  # noqa: E402
import chunking  # noqa: E402
import downgrades  # noqa: E402
import framing  # noqa: E402
import heads  # noqa: E402
import http2  # noqa: E402
import judge  # noqa: E402
import legal  # noqa: E402
import proxies  # noqa: E402

REQUESTS = [*framing.CASES, *chunking.CASES, *heads.CASES]


def run_requests(proxy, recorder, cases):
    return {case.name: judge.try_request(proxy.http, recorder, case) for case in cases}


def run_answers(proxy, recorder, cases):
    return {case.name: judge.try_answer(proxy.http, recorder, case) for case in cases}


def run_downgrades(proxy, recorder, cases):
    """None where ALPN does not yield HTTP/2."""
    if not http2.spoken(proxy.https):
        print(f"{proxy.name}: ALPN does not yield h2, its downgrades are left out", file=sys.stderr)
        return None
    return {case.name: http2.try_downgrade(proxy.https, recorder, case, proxy.http) for case in cases}


PARTS = {
    "requests": (REQUESTS, run_requests),
    "legal": (legal.CASES, run_requests),
    "answers": (answers.CASES, run_answers),
    "downgrades": (downgrades.CASES, run_downgrades),
    "legal-h2": (downgrades.LEGAL, run_downgrades),
}


def worst(first, second):
    """Of two runs: what goes wrong once is wrong."""
    return {name: second[name] if second[name].kind == judge.WRONG else verdict for name, verdict in first.items()}


def measure(kind, wanted, repeat):
    """{part: {name: verdict}} of one proxy, and its version."""
    results = {}
    with judge.Recorder(judge.answering(answers.CASES)) as recorder, kind(recorder.upstream) as proxy:
        for part, (cases, run) in PARTS.items():
            chosen = [case for case in cases if not wanted or wanted[0] == part and wanted[1] in ("", case.name)]
            results[part] = run(proxy, recorder, chosen) if chosen else {}
            for _ in range(1, repeat if chosen and results[part] is not None else 1):
                results[part] = worst(results[part], run(proxy, recorder, chosen))
        return proxy.version, results


def names_of(verdicts, kinds):
    if verdicts is None:
        return None
    return [name for name, verdict in verdicts.items() if verdict.kind in kinds]


def count(verdicts, kinds):
    return "no h2" if verdicts is None else str(len(names_of(verdicts, kinds)))


def table(columns):
    """Markdown: a row for each count, a column for each proxy."""
    yield "| | " + " | ".join(f"{name} {version}".strip() for name, version, _ in columns) + " |"
    yield "|---|" + "---|" * len(columns)
    for title, part, kinds in ROWS:
        yield f"| {title} | " + " | ".join(count(results[part], kinds) for _, _, results in columns) + " |"


ROWS = [
    (f"of {len(REQUESTS)} ambiguous requests: refused", "requests", [judge.REFUSED]),
    ("forwarded in one form", "requests", [judge.FORWARDED]),
    ("**wrong**", "requests", [judge.WRONG]),
    (f"of {len(legal.CASES)} legal requests: **refused or changed**", "legal", [judge.REFUSED, judge.WRONG]),
    (f"of {len(answers.CASES)} bad answers: refused or cut", "answers", [judge.REFUSED]),
    ("passed in one form", "answers", [judge.FORWARDED]),
    ("**passed wrongly**", "answers", [judge.WRONG]),
    (f"of {len(downgrades.CASES)} malformed HTTP/2 requests: refused", "downgrades", [judge.REFUSED]),
    ("forwarded in one form", "downgrades", [judge.FORWARDED]),
    ("**wrong**", "downgrades", [judge.WRONG]),
    (f"of {len(downgrades.LEGAL)} legal HTTP/2 requests: **refused or changed**", "legal-h2", [judge.REFUSED, judge.WRONG]),
]


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers", default="", help="comma-separated: " + ", ".join(proxies.PEERS))
    parser.add_argument("--without-gateway", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each case, of which the worst counts: some depend on time")
    parser.add_argument("--names", action="store_true", help="every failure by name")
    options = parser.parse_args(arguments)
    wanted = options.only.partition("/")[::2] if options.only else None
    kinds = [] if options.without_gateway else [proxies.Subject]
    for peer in filter(None, options.peers.split(",")):
        if not proxies.PEERS[peer].path():
            parser.error(f"{peer} is not installed")
        kinds.append(proxies.PEERS[peer])
    with concurrent.futures.ThreadPoolExecutor(len(kinds)) as pool:
        columns = [(kind.name, *result) for kind, result in zip(kinds, pool.map(lambda kind: measure(kind, wanted, options.repeat), kinds))]
    if wanted and wanted[1]:
        for name, _, results in columns:
            for verdict in (results[wanted[0]] or {}).values():
                print(f"{name}: {verdict}")
        return 0
    print("\n".join(table(columns)))
    failed = False
    for name, _, results in columns:
        for title, part, bad in ROWS:
            found = names_of(results[part], bad)
            if "**" not in title or not found:
                continue
            failed = failed or name == proxies.Subject.name
            if options.names or name == proxies.Subject.name:
                print(f"\n{name}, {title.replace('*', '')}:")
                print("\n".join(f"- {case}: {results[part][case].note or results[part][case].statuses}" for case in found))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
