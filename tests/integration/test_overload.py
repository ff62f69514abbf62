"""More than the machine has: no file descriptors, floods of connections; the gateway neither spins nor dies."""
import contextlib
import os
import resource
import signal
import socket
import time

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.http1 import Closed, Truncated
from harness.polling import poll
from harness.upstream import Upstream


def processor_share(gateway, seconds=1.0):
    """The gateway's processor time in a second of the wall's: what it does when there is nothing that it can do."""
    begin, used = time.monotonic(), gateway.cpu_seconds()
    poll(lambda: time.monotonic() - begin >= seconds, "time to pass", interval=0.1)
    return (gateway.cpu_seconds() - used) / (time.monotonic() - begin)


def test_idle_costs_nothing(upstream):
    with Gateway({"shop": tenant(upstream=upstream)}) as gateway:
        gateway.request()
        assert processor_share(gateway) < 0.1


def test_out_of_file_descriptors_is_no_loop(upstream, is_sanitized):
    """EMFILE pauses accepting; when descriptors are there again, those that waited are served."""
    if is_sanitized:
        pytest.skip("a sanitizer's checks need descriptors of their own")
    with Gateway({"shop": tenant(upstream=upstream)}, {"workers": 1}) as gateway:
        gateway.request()
        with gateway.connect() as kept:
            assert kept.exchange(request_bytes()).status == 200
            _, hard = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
            # Descriptors are the lowest free ones: a limit at the highest that is used leaves none above it.
            resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (gateway.open_files(), hard))
            waiting = [socket.create_connection(gateway.http, timeout=20) for _ in range(30)]
            for connection in waiting:
                with contextlib.suppress(OSError):
                    connection.sendall(request_bytes(close=True))
            assert processor_share(gateway) < 0.3, "it spins"
            assert kept.exchange(request_bytes()).status in (200, 503), "connections that are open are served"
            resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (hard, hard))
            served = 0
            for connection in waiting:
                with contextlib.suppress(OSError):
                    served += connection.recv(100).startswith(b"HTTP/1.1 200")
                connection.close()
            assert served >= 25, f"{served} of 30 were served afterwards"
        assert poll(lambda: gateway.request().status == 200, "service as before")


def test_connection_limit_is_no_loop(upstream):
    with Gateway({"shop": tenant(upstream=upstream)}, {"limits": {"connections": 4}, "workers": 1}) as gateway:
        connections = [socket.create_connection(gateway.http) for _ in range(40)]
        assert processor_share(gateway) < 0.3
        for connection in connections:
            connection.close()
        poll(lambda: answered(gateway), "service afterwards")


def answered(gateway):
    try:
        return gateway.request(timeout=2).status == 200
    except (OSError, Closed, Truncated):
        return False


def test_flood_of_connections_that_say_nothing(upstream):
    with Gateway({"shop": tenant(upstream=upstream)}, {"limits": {"connections_per_client": 50}}) as gateway:
        flood = []
        for _ in range(500):
            flood.append(socket.create_connection((gateway.http[0], gateway.http_port), source_address=("127.0.0.9", 0)))
        assert gateway.request(source="127.0.0.10").status == 200
        for connection in flood:
            connection.close()


def test_half_open_requests_do_not_hold_memory(upstream, is_sanitized):
    with Gateway({"shop": tenant(upstream=upstream)}, {"limits": {"connections_per_client": 0}}) as gateway:
        gateway.request()
        before = gateway.memory_bytes()
        connections = []
        for _ in range(1000):
            connection = socket.create_connection(gateway.http)
            connection.sendall(b"GET / HTTP/1.1\r\nHost: shop.test\r\nX: ")
            connections.append(connection)
        gateway.wait_metric(1000, "gatehouse_connections")
        if not is_sanitized:
            assert gateway.memory_bytes() - before < 64 << 20, "more than 64 KiB for each"
        for connection in connections:
            connection.close()
        gateway.wait_metric(0, "gatehouse_connections")


def test_bodies_that_wait_share_what_memory_there_is(is_sanitized):
    """Requests whose upstream does not answer hold their bodies: what does not fit is refused, another tenant's small
    one is not, and all of it comes back."""
    def hang(connection, request):
        connection.upstream.released.wait(30)
        connection.respond(200)

    body = b"text=" + b"plainwords" * 22_000
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    waf = {"mode": "block", "body": {"limit": "1MiB"}}
    with Upstream(hang) as hanging, Upstream() as prompt, \
            Gateway({"shop": tenant(upstream=hanging, waf=waf), "blog": tenant("blog", prompt, waf=waf)},
                    {"limits": {"buffered_bytes": "8MiB", "connections_per_client": 0}, "waf": {"time_budget": "10s"}}) as gateway:
        with contextlib.ExitStack() as stack:
            connections = [stack.enter_context(gateway.connect()) for _ in range(20)]
            for connection in connections:
                connection.send(request_bytes("POST", "/", "shop.test", form, body))
            poll(lambda: gateway.metric("gatehouse_local_replies_total", tenant="shop", reason="overload") + len(hanging.requests) == 20,
                 "each to be refused or at the upstream", 60)
            arrived = len(hanging.requests)
            assert 4 <= arrived <= 8, "three times a body's size is counted, and half of the memory is the tenant's"
            assert gateway.metric("gatehouse_buffered_bytes") <= 8 << 20
            assert gateway.request(host="blog.test", method="POST", headers=form, body=body, source="127.0.0.2").status == 200
            hanging.released.set()
            statuses = sorted(connection.response().status for connection in connections)
        assert statuses == [200] * arrived + [503] * (20 - arrived)
        gateway.wait_metric(0, "gatehouse_buffered_bytes")
        assert gateway.request(method="POST", headers=form, body=body).status == 200


def test_a_client_that_only_promises_holds_little(upstream, is_sanitized):
    """Content-Length is no body: for two seconds a client may have half of the memory in advance, then what it has sent."""
    form = [("Content-Type", "application/x-www-form-urlencoded")]
    names = [f"t{number}" for number in range(10)]
    with Gateway({name: tenant(name, upstream, waf={"mode": "block"}) for name in names},
                 {"limits": {"buffered_bytes": "64MiB"}, "waf": {"time_budget": "60s"}}) as gateway, contextlib.ExitStack() as stack:
        for number in range(100):
            slow = stack.enter_context(gateway.connect(source="127.0.0.3"))
            slow.send(request_bytes("POST", "/", f"{names[number % 10]}.test", form + [("Content-Length", "1000000")]) + b"a=1")
        poll(lambda: gateway.metric("gatehouse_buffered_bytes") > 16 << 20, "the promises")
        for name in names:
            assert gateway.request(host=f"{name}.test", method="POST", headers=form, body=b"text=" + b"plainwords" * 30_000).status == 200
        poll(lambda: gateway.metric("gatehouse_buffered_bytes") < 8 << 20, "no more than what has come")
        assert gateway.request(host="t0.test", method="POST", headers=form, body=b"text=" + b"plainwords" * 90_000).status == 200


def test_a_tenants_slow_upstream_is_not_anothers():
    def hang(connection, request):
        connection.upstream.released.wait(30)

    with Upstream(hang) as slow, Upstream() as quick, \
            Gateway({"slow": tenant("slow", slow), "quick": tenant("quick", quick)}, {"workers": 1}) as gateway:
        connections = [gateway.connect() for _ in range(100)]
        for connection in connections:
            connection.send(request_bytes(host="slow.test"))
        slow.wait_requests(100)
        begin = time.monotonic()
        for _ in range(20):
            assert gateway.request(host="quick.test").status == 200
        assert time.monotonic() - begin < 3
        for connection in connections:
            connection.close()


def test_no_descriptor_is_left_behind(upstream):
    """Clients that leave in every way, upstreams that refuse and break: afterwards all is closed but the pool."""
    with Upstream(lambda connection, request: connection.reset()) as breaking, \
            Gateway({"shop": tenant(upstream=upstream), "breaking": tenant("breaking", breaking), "refusing": tenant("refusing"),
                     "secure": tenant("secure", upstream, hosts=[{"name": "secure.test", "tls": {"self_signed": True}}])}, {"workers": 1}) as gateway:
        def round_of_everything():
            for host in ("shop.test", "breaking.test", "refusing.test"):
                gateway.request(host=host)
                with gateway.connect() as connection:
                    connection.send(request_bytes("POST", host=host, headers=[("Content-Length", "100")]) + b"x" * 50)
                    connection.reset()
            with gateway.connect(tls=True, server_name="secure.test") as connection:
                connection.send(request_bytes(host="secure.test"))
                connection.reset()
            with gateway.connect(port=gateway.https_port) as connection:
                connection.send(b"\x16\x03\x01")
                connection.reset()
            with gateway.connect() as connection:
                connection.send(b"nonsense\r\n\r\n")
            gateway.admin("/metrics")

        round_of_everything()
        gateway.wait_metric(0, "gatehouse_connections")
        before = gateway.open_files()
        for _ in range(30):
            round_of_everything()
        gateway.wait_metric(0, "gatehouse_connections")
        poll(lambda: gateway.open_files() <= before + 8, f"the {gateway.open_files()} descriptors to be {before} or so again")


def test_out_of_file_descriptors_is_said_and_takes_nobody_down(is_sanitized):
    """Health checks make no verdicts that they cannot make; the admin listener answers; metrics and log say what is wrong."""
    if is_sanitized:
        pytest.skip("a sanitizer's checks need descriptors of their own")
    with Upstream(health="/healthz") as upstream:
        health = {"path": "/healthz", "interval": "300ms", "timeout": "200ms", "unhealthy_after": 2, "healthy_after": 2}
        services = {"web": {"sites": [{"site": "here", "endpoints": [upstream.address]}], "health": health}}
        with Gateway({"shop": tenant(upstream=upstream, services=services)}, {"workers": 1}) as gateway, gateway.connect() as kept:
            assert kept.exchange(request_bytes()).status == 200
            reloads = gateway.metric("gatehouse_config_reloads_total")
            _, hard = resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (gateway.open_files(), hard))
            waiting = [socket.create_connection(gateway.http, timeout=20) for _ in range(5)]
            rotated = gateway.access_log + ".1"
            os.rename(gateway.access_log, rotated)
            gateway.signal(signal.SIGUSR1)
            end = time.monotonic() + 3
            while time.monotonic() < end:
                assert kept.exchange(request_bytes()).status == 200
                assert gateway.admin("/readyz").status == 200
                time.sleep(0.1)
            assert gateway.metric("gatehouse_accept_pauses_total", listener=f"127.0.0.1:{gateway.http_port}") > 0
            assert gateway.metric("gatehouse_config_reloads_total") == reloads
            gateway.wait_log("new connections wait")
            assert "endpoint is unhealthy" not in gateway.log
            assert os.path.exists(gateway.access_log), "a log is opened anew with a spare descriptor"
            resource.prlimit(gateway.pid, resource.RLIMIT_NOFILE, (hard, hard))
            for connection in waiting:
                connection.close()
            poll(lambda: answered(gateway), "service as before")
            gateway.wait_log("accepted again")


def test_a_low_limit_of_open_files_is_served_within_or_named(upstream, is_sanitized):
    """A gateway that has what it needs serves, spare descriptors or not; one that has not says why it does not start."""
    if is_sanitized:
        pytest.skip("a sanitizer's checks need descriptors of their own")
    gateway = Gateway({"shop": tenant(upstream=upstream)}, {"workers": 1}, start=False)
    gateway.start()
    needed = gateway.open_files()
    gateway.process.terminate()
    assert gateway.wait_exit() == 0
    for limit in (needed + 4, needed - 4):
        gateway.start(ready=False, preexec=lambda limit=limit: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
        try:
            gateway.wait_ready(10)
        except AssertionError:
            assert limit < needed and "Too many open files" in gateway.log
            continue
        assert gateway.request().status == 200
        gateway.process.terminate()
        assert gateway.wait_exit() == 0
    gateway.discard()
