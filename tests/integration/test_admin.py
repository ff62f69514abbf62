"""Admin endpoints and metrics: names, values, and that promtool has nothing to say."""
import contextlib
import json
import shutil
import subprocess

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, run_command, tenant
from harness.polling import poll
from harness.http1 import Closed, Truncated
from harness.ports import free_port
from harness.redis_server import RedisServer
from harness.upstream import Upstream

NAMES = {
    "gatehouse_requests_total": {"tenant", "route", "service", "site", "code"},
    "gatehouse_request_duration_seconds_bucket": {"tenant", "route", "le"},
    "gatehouse_upstream_duration_seconds_bucket": {"tenant", "service", "site", "le"},
    "gatehouse_local_replies_total": {"tenant", "reason"},
    "gatehouse_waf_requests_total": {"tenant", "verdict"},
    "gatehouse_waf_duration_seconds_bucket": {"tenant", "le"},
    "gatehouse_waf_rule_matches_total": {"tenant", "rule"},
    "gatehouse_ratelimit_decisions_total": {"tenant", "limit", "decision"},
    "gatehouse_ratelimit_store_up": set(),
    "gatehouse_ratelimit_store_requests_total": None,
    "gatehouse_ratelimit_store_duration_seconds_bucket": None,
    "gatehouse_endpoint_healthy": {"tenant", "service", "site", "endpoint"},
    "gatehouse_site_active": {"tenant", "service", "site"},
    "gatehouse_connections": {"listener"},
    "gatehouse_requests_in_flight": {"tenant"},
    "gatehouse_tls_handshakes_total": {"result"},
    "gatehouse_certificate_not_after_seconds": {"host"},
    "gatehouse_config_reloads_total": {"result"},
    "gatehouse_config_last_reload_successful": set(),
    "gatehouse_tenant_config_valid": {"tenant"},
    "gatehouse_build_info": {"version"},
}
REASONS = {"waf", "waf_error", "rate_limit", "no_route", "malformed", "misdirected", "too_large", "overload", "upstream", "timeout", "no_endpoint",
           "access", "auth", "loop", "redirect"}


@pytest.fixture(scope="module")
def metrics_port():
    return free_port()


@pytest.fixture(scope="module")
def gateway(upstream, metrics_port):
    shop = tenant(upstream=upstream, hosts=[{"name": "shop.test", "tls": {"self_signed": True}}, {"name": "plain.test", "tls": "off"}],
                  waf={"mode": "block"}, rate_limits={"per_client": {"key": "client_ip", "rate": "1/h", "burst": 3}},
                  routes=[{"match": {"path": "/limited"}, "service": "web", "rate_limits": ["per_client"]},
                          {"name": "everything", "match": {"path": "/"}, "service": "web"}])
    with RedisServer() as redis, Gateway({"shop": shop, "idle": tenant("idle", upstream)}, {
            "redis": {"url": f"redis://127.0.0.1:{redis.port}"}, "metrics": {"address": f"127.0.0.1:{metrics_port}"}}) as running:
        running.wait_metric(1, "gatehouse_ratelimit_store_up")
        running.request("/x", tls=True)
        running.request("/x?id=1%27%20OR%20%271%27=%271", tls=True)
        running.request("/x", host="plain.test")
        for _ in range(4):
            running.request("/limited", tls=True)
        running.request("/redirected")
        running.wait_metric(8, "gatehouse_requests_total", tenant="shop")
        running.after_eight_requests = running.metrics()
        yield running


@pytest.mark.parametrize("name", NAMES)
def test_metric_with_its_labels(gateway, name):
    found = gateway.metrics().labels(name)
    assert found, f"no sample of {name}"
    if NAMES[name] is not None:
        assert all(set(labels) == NAMES[name] for labels in found), found[0]


def test_values(gateway):
    metrics = gateway.after_eight_requests
    assert metrics.total("gatehouse_requests_total", tenant="shop", route="everything", service="web", site="here", code="2xx") == 2
    assert metrics.total("gatehouse_requests_total", tenant="shop", route="/limited", code="2xx") == 3
    assert metrics.total("gatehouse_requests_total", tenant="shop", code="4xx") == 2
    assert metrics.total("gatehouse_requests_total", tenant="shop", code="3xx") == 1
    assert metrics.total("gatehouse_requests_total", tenant="shop") == 8
    assert metrics.total("gatehouse_request_duration_seconds_count", tenant="shop") == 8
    assert metrics.total("gatehouse_tenant_config_valid", tenant="shop") == 1
    assert metrics.total("gatehouse_config_last_reload_successful") == 1
    assert metrics.total("gatehouse_build_info") == 1
    version = run_command("--version").stdout
    assert metrics.labels("gatehouse_build_info")[0]["version"] in version
    assert {labels["reason"] for labels in metrics.labels("gatehouse_local_replies_total")} <= REASONS
    assert {labels["code"] for labels in metrics.labels("gatehouse_requests_total")} <= {"1xx", "2xx", "3xx", "4xx", "5xx", "499"}


def test_prometheus_text(gateway):
    response = gateway.admin("/metrics")
    assert response.header("content-type").startswith("text/plain")
    assert "# TYPE gatehouse_requests_total counter" in response.text and "# HELP gatehouse_requests_total " in response.text
    assert "# TYPE gatehouse_request_duration_seconds histogram" in response.text


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_is_silent(gateway):
    result = subprocess.run(["promtool", "check", "metrics"], input=gateway.admin("/metrics").body, capture_output=True, check=False)
    assert (result.returncode, result.stdout + result.stderr) == (0, b"")


def test_no_label_takes_its_value_from_a_client(gateway):
    for number in range(30):
        gateway.request(f"/made-up/{number}", host=f"made-up-{number}.test", method=f"METHOD{number}", headers=[("User-Agent", f"made-up-{number}")])
        gateway.request(f"/made-up/{number}?made-up={number}", host="plain.test", headers=[("X-Request-Id", f"made-up-{number}")])
    assert "made-up" not in gateway.admin("/metrics").text


def test_connections_and_requests_in_flight():
    def hold(connection, request):
        connection.upstream.released.wait(20)
        connection.respond()

    with Upstream(hold) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway:
        with gateway.connect() as idle, gateway.connect() as busy:
            busy.send(request_bytes())
            upstream.wait_requests(1)
            gateway.wait_metric(2, "gatehouse_connections")
            assert gateway.metric("gatehouse_requests_in_flight", tenant="shop") == 1
            upstream.released.set()
            assert busy.response().status == 200
            gateway.wait_metric(0, "gatehouse_requests_in_flight", tenant="shop")
            idle.close()
            gateway.wait_metric(1, "gatehouse_connections")
        gateway.wait_metric(0, "gatehouse_connections")


def test_health_and_readiness(gateway):
    assert gateway.admin("/healthz").status == 200
    assert gateway.admin("/readyz").status == 200
    assert gateway.admin("/nowhere").status == 404
    assert gateway.admin(f"http://127.0.0.1:{gateway.admin_port}/readyz").status == 200, "RFC 9112 section 3.2.2"
    assert gateway.admin("/healthz", method="HEAD").status == 200
    assert gateway.admin("/healthz", method="POST").status in (404, 405)


def test_status(gateway, upstream):
    response = gateway.admin("/status")
    assert response.header("content-type").startswith("application/json")
    status = json.loads(response.body)
    text = json.dumps(status)
    for word in ("shop", "idle", "shop.test", "plain.test", "web", "here", upstream.address, "per_client"):
        assert word in text, word
    assert {"tenants", "workers"} <= set(status)
    assert all(set(entry["limits"]) == {"requests_in_flight", "connections", "waf_cpu"} for entry in status["tenants"])


def test_metrics_listener_has_three_endpoints_only(gateway, metrics_port):
    for path in ("/metrics", "/healthz", "/readyz"):
        assert gateway.admin(path, port=metrics_port).status == 200
    for path in ("/status", "/", "/metrics/", "/status/../metrics/x"):
        assert gateway.admin(path, port=metrics_port).status in (400, 404)


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.1\r\n\r\n", b"nonsense\r\n\r\n", b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                                  b"GET /metrics HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n", b"A" * 100_000])
def test_admin_is_strict_too(gateway, sent):
    with gateway.connect(port=gateway.admin_port) as connection:
        connection.try_send(sent)
        connection.finish_sending()
        outcome = connection.outcome()
        assert isinstance(outcome, (Closed, Truncated)) or outcome.status in (400, 404, 414, 431)
    assert gateway.admin("/healthz").status == 200


def test_admin_keeps_connections_and_takes_pieces(gateway):
    with gateway.connect(port=gateway.admin_port) as connection:
        for byte in request_bytes(target="/healthz", host="127.0.0.1"):
            connection.send(bytes([byte]))
        response = connection.response()
        assert response.status == 200
        if not response.closes:
            assert connection.exchange(request_bytes(target="/readyz", host="127.0.0.1")).status == 200


def test_many_scrapes_at_once_are_whole(gateway):
    connections = [gateway.connect(port=gateway.admin_port) for _ in range(10)]
    for connection in connections:
        connection.send(request_bytes(target="/metrics", host="127.0.0.1", close=True))
    for connection in connections:
        assert b"gatehouse_build_info" in connection.response().body
        connection.close()


def test_admin_is_not_reachable_through_the_listeners(gateway):
    for target in ("/metrics", "/status", "/readyz"):
        assert "gatehouse_build_info" not in gateway.request(target, host="plain.test").text
        assert gateway.request(target, host="127.0.0.1").status == 404


@pytest.mark.parametrize("which", ["admin", "metrics"])
def test_idle_connections_do_not_keep_probes_out(upstream, which):
    """Whoever waits for the longest makes room; one listener's guests are no matter of the other's."""
    port = free_port()
    with Gateway({"shop": tenant(upstream=upstream)}, {"metrics": {"address": f"127.0.0.1:{port}"}}) as gateway, contextlib.ExitStack() as stack:
        target = port if which == "metrics" else gateway.admin_port
        held = [stack.enter_context(gateway.connect(port=target)) for _ in range(200)]
        for number, connection in enumerate(held):
            if number % 2:
                connection.try_send(b"GET /readyz HTTP/1.1\r\n")
        for _ in range(20):
            assert gateway.admin("/readyz", port=port).status == 200
            assert gateway.admin("/readyz").status == 200
        poll(lambda: gateway.open_files() < 130, "all but 64 to be sent away", 5)  # and some files of the process's own; by itself each would wait 10 s
