#!/usr/bin/env python3
"""Starts Redis, three upstreams at two sites and the gateway with the Core Rule Set, drives the gateway with curl as
clients would, and shows what happened, each step with its checks. Called by `./dev demo`.

    demo.py --binary build/gatehouse            show, and leave everything running
    demo.py --binary build/gatehouse --check    show, stop everything, exit 1 if a step was wrong
    demo.py --stop                              stop what an earlier demo left running
"""
import argparse
import json
import sys
import time
from pathlib import Path

from client import Curl, Metrics, until
from stage import Stage, StageError

ROOT = Path(__file__).resolve().parent.parent
SITE_OF = {"shop-1": "saar1", "shop-2": "saar1", "shop-3": "fsn1"}


class Report:
    """The lines that the reader sees, and whether a check failed."""

    def __init__(self):
        self.failed = 0
        self.colour = sys.stdout.isatty()

    def paint(self, code, text):
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def title(self, text):
        print(f"\n{self.paint('1', text)}", flush=True)

    def line(self, text):
        print(f"   {text}", flush=True)

    def check(self, fine, text):
        if fine:
            print(f"   {self.paint('32', 'ok')}    {text}", flush=True)
        else:
            self.failed += 1
            print(f"   {self.paint('1;31', 'WRONG')} {text}", flush=True)
        return fine


class Demo:
    def __init__(self, stage, report):
        self.stage, self.report = stage, report
        self.curl = Curl(stage, report)
        self.metrics = Metrics(stage.admin_url)

    def run(self):
        self.clean_request()
        self.plain_http()
        self.attacks()
        self.detection_only()
        self.rate_limit()
        self.site_lost()
        self.site_back()
        self.what_metrics_say()

    def clean_request(self):
        self.report.title("A clean request")
        answer = self.curl("/products?id=7", "--header", "X-Forwarded-For: 198.51.100.66")
        seen = answer.json().get("headers", {})
        self.report.check(answer.status == 200 and answer.tls == "TLSv1.3", f"{answer.status} over {answer.tls}")
        self.report.check(answer.json().get("site") == "saar1",
                          f"answered by {answer.json().get('upstream')} at the gateway's own site, saar1")
        self.report.check(seen.get("host") == f"shop.example:{self.stage.ports['https']}"
                          and seen.get("x-forwarded-proto") == "https",
                          "the upstream saw the client's Host and x-forwarded-proto: https")
        self.report.check(seen.get("x-forwarded-for") == "127.0.0.1",
                          "the address that the client made up is gone: x-forwarded-for: "
                          f"{seen.get('x-forwarded-for')}")
        record = self.stage.find_record("access.log", "http.request.id", seen.get("x-request-id")) or {}
        self.report.check(record, f"access log, by the request id that the upstream saw: {seen.get('x-request-id')}")
        shown = ("http.request.method", "url.path", "http.response.status_code", "labels.route", "labels.site",
                 "gatehouse.waf.verdict")
        self.report.line("      " + json.dumps({name: record.get(name) for name in shown}))

    def plain_http(self):
        self.report.title("The same over plain HTTP")
        answer = self.curl("/products?id=7", scheme="http")
        wanted = f"https://shop.example:{self.stage.ports['https']}/products?id=7"
        self.report.check(answer.status == 308 and answer.header("location") == wanted,
                          f"{answer.status}, Location: {answer.header('location')}")

    def attacks(self):
        for name, family, argument in [
            ("SQL injection", "942", "id=1' OR '1'='1' -- "),
            ("Cross-site scripting", "941", "q=<script>alert(document.cookie)</script>"),
            ("Path traversal", "930", "file=../../../../etc/passwd"),
            ("Shell injection", "932", "host=127.0.0.1; cat /etc/passwd"),
        ]:
            self.report.title(f"{name} at the shop, whose WAF blocks")
            answer = self.curl("/products", "--get", "--data-urlencode", argument)
            self.report.check(answer.status == 403 and "upstream" not in answer.json(), f"{answer.status}, and no upstream saw it")
            self.show_event(answer.header("x-request-id"), family, "blocked")

    def detection_only(self):
        self.report.title("SQL injection at the blog, whose WAF only reports")
        answer = self.curl("/products", "--get", "--data-urlencode", "id=1' OR '1'='1' -- ", host="blog.example")
        self.report.check(answer.status == 200, f"{answer.status}, answered by {answer.json().get('upstream')}")
        self.show_event(answer.json().get("headers", {}).get("x-request-id"), "942", "flagged")

    def show_event(self, request_id, family, verdict):
        """The WAF event of a request: its verdict and its rules, of which one must be of the attack's family."""
        event = self.stage.find_record("audit.log", "request_id", request_id) or {}
        rules = event.get("rules", [])
        if not self.report.check(event.get("verdict") == verdict and any(str(rule["id"]).startswith(family) for rule in rules),
                                 f"WAF event: {event.get('verdict')}, score {event.get('score')}, "
                                 f"rules {', '.join(str(rule['id']) for rule in rules) or 'none'}"):
            return
        for rule in rules:
            if str(rule["id"]).startswith(family):
                self.report.line(f"      {rule['id']} {rule['msg']}: {rule['target']} = {rule['match']}"[:110].rstrip())

    def rate_limit(self):
        self.report.title("More than the limit of 5 at once and 1/s, counted in Redis")
        statuses = []
        while len(statuses) < 20:
            answer = self.curl("/api/cart", quiet=len(statuses) > 0)
            statuses.append(answer.status)
            if answer.status != 200:
                break
        self.report.check(statuses[:5] == [200] * 5, f"{len(statuses)} requests in a row: {' '.join(map(str, statuses))}")
        wait = answer.header("retry-after") or ""
        self.report.check(answer.status == 429 and wait.isdigit() and int(wait) >= 1, f"{answer.status}, Retry-After: {wait}")
        self.report.check(answer.header("ratelimit") is not None and answer.header("ratelimit-policy") is not None,
                          f"RateLimit-Policy: {answer.header('ratelimit-policy')}  RateLimit: {answer.header('ratelimit')}")
        keys = self.stage.redis_cli("--scan", "--pattern", "gatehouse:*").split()
        self.report.check(any("shop" in key and "per_client" in key for key in keys), f"the bucket in Redis: {' '.join(keys)}")
        if keys:
            self.report.line(f"      forgotten in {self.stage.redis_cli('PTTL', keys[0])} ms if unused")
        if wait.isdigit():
            time.sleep(int(wait))
            self.report.check(self.curl("/api/cart").status == 200, f"admitted again after {wait} s")

    def site_lost(self):
        self.report.title("Both upstreams at saar1 killed")
        for name in ("shop-1", "shop-2"):
            self.report.line(f"kill -9 {self.stage.pid_of(name)}   # {name}")
            self.stage.kill(name)
        answers = [self.curl(f"/products?id={n}", quiet=n > 1) for n in range(1, 7)]
        self.report.check(all(answer.status == 200 for answer in answers),
                          f"the next {len(answers)} requests: {' '.join(str(answer.status) for answer in answers)}")
        self.report.check({answer.json().get("site") for answer in answers} == {"fsn1"}, "all answered at the other site, fsn1")
        seen = until(5, lambda: self.metrics.value("gatehouse_site_active", tenant="shop", site="fsn1") == 1)
        self.report.check(seen, 'gatehouse_site_active{tenant="shop",site="fsn1"} is 1')

    def site_back(self):
        self.report.title("Both started again")
        for name in ("shop-1", "shop-2"):
            self.stage.start_upstream(name, SITE_OF[name])
        statuses, began = [], time.monotonic()

        def answered_at_home():
            answer = self.curl("/products?id=8", quiet=len(statuses) > 0)
            statuses.append(answer.status)
            return answer.json().get("site") == "saar1"

        back = until(15, answered_at_home)
        self.report.check(back, f"answered at saar1 again after {time.monotonic() - began:.1f} s and two good health checks")
        self.report.check(set(statuses) == {200}, f"none of {len(statuses)} requests in between failed")
        seen = until(5, lambda: self.metrics.value("gatehouse_site_active", tenant="shop", site="saar1") == 1
                     and self.metrics.value("gatehouse_site_active", tenant="shop", site="fsn1") == 0)
        self.report.check(seen, 'gatehouse_site_active{tenant="shop",site="saar1"} is 1')
        # The first of the two to pass its checks is enough for the site; the other follows.
        seen = until(15, lambda: self.metrics.value("gatehouse_endpoint_healthy", tenant="shop", site="saar1") == 2)
        self.report.check(seen, 'gatehouse_endpoint_healthy{tenant="shop",site="saar1"} is 1 for both')

    def what_metrics_say(self):
        self.report.title(f"Metrics of all this, from {self.stage.admin_url}/metrics")
        value = self.metrics.value
        for fine, name, labels in [
            (lambda n: n >= 8, "gatehouse_requests_total", {"tenant": "shop", "site": "saar1", "code": "2xx"}),
            (lambda n: n >= 6, "gatehouse_requests_total", {"tenant": "shop", "site": "fsn1", "code": "2xx"}),
            (lambda n: n == 4, "gatehouse_local_replies_total", {"tenant": "shop", "reason": "waf"}),
            (lambda n: n == 1, "gatehouse_local_replies_total", {"tenant": "shop", "reason": "rate_limit"}),
            (lambda n: n == 1, "gatehouse_local_replies_total", {"tenant": "shop", "reason": "redirect"}),
            (lambda n: n == 4, "gatehouse_waf_requests_total", {"tenant": "shop", "verdict": "blocked"}),
            (lambda n: n >= 12, "gatehouse_waf_requests_total", {"tenant": "shop", "verdict": "clean"}),
            (lambda n: n == 1, "gatehouse_waf_requests_total", {"tenant": "blog", "verdict": "flagged"}),
            (lambda n: n >= 2, "gatehouse_waf_rule_matches_total", {"rule": "942100"}),
            (lambda n: n >= 6, "gatehouse_ratelimit_decisions_total", {"tenant": "shop", "limit": "per_client", "decision": "allowed"}),
            (lambda n: n == 1, "gatehouse_ratelimit_decisions_total", {"tenant": "shop", "limit": "per_client", "decision": "limited"}),
            (lambda n: n == 1, "gatehouse_ratelimit_store_up", {}),
            (lambda n: n == 3, "gatehouse_endpoint_healthy", {"tenant": "shop"}),
            (lambda n: n >= 20, "gatehouse_tls_handshakes_total", {"result": "ok"}),
        ]:
            found = value(name, **labels)
            shown = ",".join(f'{label}="{wanted}"' for label, wanted in labels.items())
            shown = f"{name}{{{shown}}}" if shown else name
            self.report.check(found is not None and fine(found), f"{shown} {'absent' if found is None else f'{found:g}'}")


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--binary", default=ROOT / "build" / "gatehouse", type=Path)
    arguments.add_argument("--check", action="store_true", help="stop everything at the end; exit 1 if a step was wrong")
    arguments.add_argument("--stop", action="store_true", help="only stop what an earlier demo left running")
    options = arguments.parse_args()
    stopped = Stage.stop_earlier(ROOT / "build")
    if options.stop:
        print("stopped" if stopped else "nothing is running")
        return 0

    report = Report()
    stage = Stage(options.binary.resolve(), ROOT)
    keep = False
    try:
        report.title("Starting Redis, three upstreams at two sites, and the gateway with the Core Rule Set")
        stage.start(SITE_OF, report)
        Demo(stage, report).run()
        keep = not options.check
    except StageError as error:
        report.check(False, str(error))
    finally:
        if not keep:
            report.title("Stopping everything")
            report.check(stage.stop(), "each process ended when asked; the gateway drained and exited with 0")

    print()
    if report.failed:
        print(f"{report.failed} of the checks above went wrong; logs are in {stage.folder}")
    else:
        print("Everything went as it should.")
    if keep:
        stage.remember(ROOT / "build")
        report.title("Still running")
        report.line(f"https://shop.example:{stage.ports['https']}: its WAF blocks; https://blog.example:{stage.ports['https']}: its WAF reports")
        report.line(stage.curl_hint("/products?id=7"))
        report.line(f"{stage.admin_url}/metrics, {stage.admin_url}/status; logs in {stage.folder}")
        report.line("stop it: ./dev demo --stop")
    elif not report.failed:
        stage.remove_folder()
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
