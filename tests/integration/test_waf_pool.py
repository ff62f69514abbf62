"""Requests whose inspection is costly: elsewhere than on the worker, in turns, never uninspected, always counted."""
import contextlib
import threading
import time
from urllib.parse import quote

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, sanitizer, tenant
from harness.polling import poll
from harness.upstream import Upstream

# A signal ends a match that takes too long.
pytestmark = pytest.mark.skipif(sanitizer() == "thread", reason="ThreadSanitizer keeps signals back while foreign code runs")

FORM = [("Content-Type", "application/x-www-form-urlencoded")]
COSTLY = "a=" + "'+" * 60_000
PLAIN = "text=" + quote("The quick brown fox jumps over the lazy dog. ") * 600  # long, but cheap


# libmodsecurity's allocations make a request some thirty times as costly under AddressSanitizer.
by_its_cost = pytest.mark.skipif(sanitizer() is not None, reason="what a request costs is not what it costs without a sanitizer")
PATIENT = {"waf": {"time_budget": "10s"}} if sanitizer() else {}


def two_tenants(upstream, config, others_mode="block"):
    shop, other = ({"mode": mode} for mode in ("block", others_mode))
    return Gateway({"shop": tenant(upstream=upstream, waf=shop), "other": tenant("other", upstream, waf=other)},
                   {"workers": 1, **config})


@pytest.fixture
def gateway(upstream):
    with two_tenants(upstream, {}) as running:
        yield running


@pytest.fixture
def patient_gateway(upstream):
    with two_tenants(upstream, PATIENT) as running:
        yield running


def jobs(gateway, **labels):
    return gateway.metric("gatehouse_pool_jobs_total", **labels)


def test_others_are_served_while_costly_requests_wait(upstream):
    # No request is cheap under AddressSanitizer: what a worker is allowed for one is just what the simplest costs there,
    # and the others would wait in the attackers' lane now and then. That their worker is free can be seen all the same.
    others_mode = "off" if sanitizer() else "block"
    upstream.forget()
    with two_tenants(upstream, {}, others_mode) as gateway, contextlib.ExitStack() as stack:
        attackers = [stack.enter_context(gateway.connect()) for _ in range(12)]
        for attacker in attackers:
            attacker.send(request_bytes("POST", "/attack", "shop.test", FORM, COSTLY))
        other = stack.enter_context(gateway.connect())
        slowest = 0.0
        for _ in range(100):
            begin = time.monotonic()
            assert other.exchange(request_bytes(host="other.test", target="/page?id=1")).status == 200
            slowest = max(slowest, time.monotonic() - begin)
        assert slowest < 1, "one job alone has 250 ms of processor time"
        statuses = [attacker.response().status for attacker in attackers]
        assert set(statuses) <= {403, 503}
        assert not [request for request in upstream.requests if request.target == "/attack"]
        gateway.wait_metric(12, "gatehouse_waf_requests_total", tenant="shop")
        assert gateway.metric("gatehouse_waf_requests_total", tenant="shop", verdict="error") \
            + gateway.metric("gatehouse_waf_requests_total", tenant="shop", verdict="blocked") == 12
        assert jobs(gateway, lane="heavy") > 0
        assert gateway.metric("gatehouse_pool_waiting") == 0


def test_long_ordinary_requests_pass_through_the_light_lane(gateway):
    before = jobs(gateway, lane="light", result="done")
    assert gateway.request(method="POST", headers=FORM, body=PLAIN).status == 200
    assert jobs(gateway, lane="light", result="done") == before + 1


@by_its_cost
def test_small_requests_stay_on_the_worker(gateway):
    before = jobs(gateway)
    assert gateway.request("/?q=some+words").status == 200
    assert gateway.request("/?q=%27%20or%20%271%27=%271").status == 403
    assert jobs(gateway) == before


def test_a_verdict_of_the_pool_is_the_same(gateway, upstream):
    """An attack at the end of a long body: blocked, with its rules in the event."""
    upstream.forget()
    response = gateway.request(method="POST", headers=FORM, body=PLAIN + "&id=" + quote("1' or '1'='1' -- "))
    assert response.status == 403
    assert not upstream.requests
    gateway.wait_metric(1, "gatehouse_waf_requests_total", tenant="shop", verdict="blocked")
    assert gateway.metric("gatehouse_waf_rule_matches_total", tenant="shop", rule="942100") == 1


def test_long_targets_and_headers_go_there_too(patient_gateway):
    gateway = patient_gateway
    before = jobs(gateway, result="done")
    assert gateway.request("/?" + "&".join(f"a{i}=" + "x" * 40 for i in range(200))).status in (200, 403)
    assert gateway.request(headers=[("Cookie", "c=" + "y" * 9000 + "; d=" + "z" * 9000)]).status in (200, 403)
    assert jobs(gateway, result="done") > before


def test_beyond_the_lanes_room_is_overload(gateway):
    """A client has so many turns to wait for and no more; the rest is refused at once, and counted as not inspected."""
    with contextlib.ExitStack() as stack:
        attackers = [stack.enter_context(gateway.connect()) for _ in range(45)]
        for attacker in attackers:
            attacker.send(request_bytes("POST", "/", "shop.test", FORM, COSTLY, close=True))
        # One runs and 32 wait; each that is done meanwhile lets another in.
        poll(lambda: jobs(gateway, lane="heavy", result="refused") >= 1, "the lane to be full")
        assert jobs(gateway, lane="heavy", result="refused") <= 45 - 33
        poll(lambda: gateway.metric("gatehouse_local_replies_total", tenant="shop", reason="overload") >= 1, "the refusals to be counted")
        assert gateway.request(host="other.test").status == 200


def test_on_error_pass_is_said_to_be(upstream):
    with Gateway({"shop": tenant(upstream=upstream, waf={"mode": "block"})}, {"waf": {"on_error": "pass"}}) as gateway:
        assert gateway.request(method="POST", headers=FORM, body=COSTLY).status == 200
        gateway.wait_metric(1, "gatehouse_waf_requests_total", tenant="shop", verdict="error")


@pytest.mark.parametrize("target, headers", [("/?" + "a&" * 400, []), ("/", [("Cookie", "a=1;" * 200)])], ids=["arguments", "cookies"])
def test_many_values_are_costly_however_short(patient_gateway, target, headers):
    gateway = patient_gateway
    before = jobs(gateway)
    assert gateway.request(target, headers=headers).status == 200
    assert jobs(gateway) > before


@by_its_cost
def test_a_client_whose_small_requests_are_costly_waits_for_himself(upstream):
    """The first three find out what they cost; those that come behind them are the pool's."""
    rules = "".join(f'SecRule ARGS:x "@rx (?:a+)+c(?:{number})?" "id:{10100 + number},phase:2,deny,status:403"\n' for number in range(300))
    costly = request_bytes(target="/?x=" + "a" * 16 + "bc", host="shop.test")
    tenants = {"shop": tenant(upstream=upstream, waf={"mode": "block", "rules_after": rules}), "other": tenant("other", upstream, waf={"mode": "block"})}
    with Gateway(tenants, {"workers": 1, "waf": {"time_budget": "2s"}}) as gateway, contextlib.ExitStack() as stack:
        for _ in range(3):
            assert gateway.request("/?x=1").status == 200
            assert jobs(gateway, lane="light") == 0
            assert gateway.request("/?x=" + "a" * 16 + "bc").status == 200
        assert jobs(gateway, lane="heavy") == 3
        assert gateway.request("/?x=1").status == 200
        assert jobs(gateway, lane="light") >= 1, "whatever it asks for"
        clients = [stack.enter_context(gateway.connect()) for _ in range(60)]
        for client in clients:
            client.send(costly)
        with gateway.connect(source="127.0.0.2") as other:
            begin = time.monotonic()
            assert other.exchange(request_bytes(host="other.test", target="/?id=1")).status == 200
            assert time.monotonic() - begin < 1
        statuses = [client.response().status for client in clients]
        assert set(statuses) <= {200, 503} and statuses.count(503) > 10, "no more than it may have waiting"


@by_its_cost
def test_a_client_whose_patterns_end_at_a_bound_waits_for_himself(upstream):
    """A text of forty bytes is enough for a tenant's own pattern; no worker is held up for longer than its budget."""
    rules = 'SecRule ARGS:x "@rx ^(?:a+)+$" "id:10101,phase:2,deny,status:403"'
    with Gateway({"shop": tenant(upstream=upstream, waf={"mode": "block", "rules_after": rules})}, {"workers": 1}) as gateway:
        for _ in range(3):
            assert jobs(gateway, lane="light") == 0
            assert gateway.request("/?x=" + "a" * 40 + "b").status == 503
        assert gateway.request("/?x=1").status == 200
        assert jobs(gateway, lane="light") >= 1


def test_clients_that_leave_while_they_wait(gateway):
    for _ in range(10):
        with gateway.connect() as attacker:
            attacker.send(request_bytes("POST", "/", "shop.test", FORM, COSTLY))
    assert gateway.request(host="other.test").status == 200
    # The pool yields to whatever else the machine does.
    poll(lambda: gateway.metric("gatehouse_requests_in_flight", tenant="shop") == 0, "the jobs to end", 60)


def test_response_bodies_are_inspected_there(upstream):
    def page(connection, request):
        connection.respond(200, [("Content-Type", "text/html")], b"<p>words " * 3000)

    with Upstream(page) as pages, Gateway({"shop": tenant(upstream=pages, waf={"mode": "block", "body": {"response": True}})}) as gateway:
        assert gateway.request().status == 200
        assert jobs(gateway, lane="light", result="done") == 1


@pytest.mark.parametrize("size", [2_000, 60_000])
def test_costly_answers_do_not_hold_up_others(size):
    """The tenant's own rule takes forever over its own pages: its clients get none of them uninspected, others wait for nothing."""
    def page(connection, request):
        connection.respond(200, [("Content-Type", "text/html")], b"a" * size + b"!" if request.target == "/costly" else b"short")

    rule = 'SecRule RESPONSE_BODY "@rx ^(?:a+)+$" "id:10001,phase:4,deny,status:403"'
    waf = {"mode": "block", "body": {"response": True}, "rules_after": rule}
    with Upstream(page) as pages, Gateway({"shop": tenant(upstream=pages, waf=waf), "other": tenant("other", pages)}, {"workers": 1}) as gateway:
        assert gateway.request("/").status == 200
        with contextlib.ExitStack() as stack:
            waiting = [stack.enter_context(gateway.connect()) for _ in range(12)]
            for connection in waiting:
                connection.send(request_bytes(target="/costly", host="shop.test"))
            other = stack.enter_context(gateway.connect())
            slowest = 0.0
            for _ in range(100):
                begin = time.monotonic()
                assert other.exchange(request_bytes(host="other.test")).status == 200
                slowest = max(slowest, time.monotonic() - begin)
            assert slowest < 1
            assert [connection.response().status for connection in waiting] == [503] * 12
        gateway.wait_metric(12, "gatehouse_waf_requests_total", tenant="shop", verdict="error")
        assert gateway.request("/").status == 200


def test_an_answer_is_inspected_to_its_end_elsewhere():
    """Rules that take longer than a worker may be held up, each of them within its limit: the verdict is that of all of them."""
    def page(connection, request):
        connection.respond(200, [("Content-Type", "text/html")], b"a" * 16 + b"bc" + (b"secret" if request.target == "/secret" else b""))

    rules = "".join(f'SecRule RESPONSE_BODY "@rx (?:a+)+c(?:{number})?" "id:{10100 + number},phase:4,deny,status:403"\n' for number in range(300))
    rules += 'SecRule RESPONSE_BODY "@contains secret" "id:10500,phase:4,deny,status:403"'
    waf = {"mode": "block", "body": {"response": True}, "rules_after": rules}
    with Upstream(page) as pages, Gateway({"shop": tenant(upstream=pages, waf=waf)}, {"workers": 1, "waf": {"time_budget": "2s"}}) as gateway:
        assert gateway.request("/").status == 200
        assert jobs(gateway, result="done") > 0
        assert gateway.request("/secret").status == 403
        gateway.wait_metric(1, "gatehouse_waf_requests_total", tenant="shop", verdict="blocked")


def test_stopping_while_jobs_wait(upstream):
    """The drain waits for what is being inspected, within its time."""
    with Gateway({"shop": tenant(upstream=upstream, waf={"mode": "block"})}, {"timeouts": {"shutdown": "2s", "shutdown_delay": "10ms"}}) as gateway:
        with contextlib.ExitStack() as stack:
            for _ in range(30):
                stack.enter_context(gateway.connect()).send(request_bytes("POST", "/", "shop.test", FORM, COSTLY))
            threading.Event().wait(0.3)
            gateway.stop()


@pytest.mark.parametrize("mode", ["block", "detect"])
def test_a_tenants_share_of_the_processors(upstream, mode):
    """Who has used it up waits until it is paid back, with 503 or, where nothing is refused, uninspected and counted; others do not."""
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    tenants = {name: tenant(name, upstream, waf={"mode": mode}, **more) for name, more in (("shop", {"limits": {"waf_cpu": "4%"}}), ("blog", {}))}
    with Gateway(tenants, {"waf": {"time_budget": "10s"}}) as gateway:
        def ask(name, **more):
            return gateway.request(host=f"{name}.test", **more).status
        assert ask("shop") == 200
        for _ in range(3):
            ask("shop", method="POST", headers=form, body="&".join(f"a{number}=plain+words+here" for number in range(300)))
        begin = time.monotonic()
        assert ask("shop") == (503 if mode == "block" else 200)
        if mode == "block":
            gateway.wait_metric(lambda count: count > 0, "gatehouse_local_replies_total", tenant="shop", reason="overload")
        assert gateway.metric("gatehouse_waf_requests_total", tenant="shop", verdict="error") > 0
        assert ask("blog") == 200 and gateway.metric("gatehouse_waf_requests_total", tenant="blog", verdict="error") == 0

        def inspected():
            errors = gateway.metric("gatehouse_waf_requests_total", tenant="shop", verdict="error")
            return ask("shop") == 200 and gateway.metric("gatehouse_waf_requests_total", tenant="shop", verdict="error") == errors
        poll(inspected, "the share to be paid back", 60)
        assert time.monotonic() - begin < 60
