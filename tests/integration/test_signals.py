"""Signals: SIGTERM and SIGINT drain, SIGQUIT stops at once, SIGUSR1 opens the logs anew."""
import os
import signal
import time
from pathlib import Path

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, run_command, tenant
from harness.polling import poll
from harness.upstream import Upstream


def holding(connection, request):
    if request.target.startswith("/hold"):
        connection.upstream.released.wait(30)
    connection.respond(body="done")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_drain(number):
    """/readyz says 503 first while requests are still taken; then what is in flight finishes; then the end, with 0."""
    with Upstream(holding) as upstream:
        gateway = Gateway({"shop": tenant(upstream=upstream)}, {"timeouts": {"shutdown_delay": "1500ms", "shutdown": "20s"}})
        with gateway.connect() as in_flight, gateway.connect() as idle:
            in_flight.send(request_bytes(target="/hold"))
            upstream.wait_requests(1)
            assert idle.exchange(request_bytes()).status == 200
            gateway.signal(number)
            poll(lambda: gateway.admin("/readyz").status == 503, "the drain to be told")
            assert gateway.request("/during").status == 200, "new connections are served until load balancers have noticed"
            assert gateway.admin("/healthz").status == 200
            assert run_command("health", "--admin", f"127.0.0.1:{gateway.admin_port}").returncode == 1

            def refused():
                try:
                    gateway.connect().close()
                    return False
                except ConnectionRefusedError:
                    return True
            poll(refused, "the listeners to be closed")
            idle.expect_closed()
            assert gateway.running(), "a request is still in flight"
            upstream.released.set()
            response = in_flight.response()
            assert response.body == b"done" and response.closes
        assert gateway.wait_exit() == 0
        gateway.assert_clean()
        assert gateway.access_record(url__path="/hold")["http.response.status_code"] == 200
        gateway.discard()


@pytest.mark.parametrize("number, end", [(signal.SIGHUP, None), (signal.SIGUSR1, None), (signal.SIGTERM, 0)])
def test_signals_while_it_starts(number, end):
    """They wait until it has started."""
    tenants = {f"shop-{i}": tenant(f"shop-{i}", hosts=[{"name": f"shop-{i}.test", "tls": "off"}]) for i in range(300)}
    gateway = Gateway(tenants, start=False)
    gateway.start(ready=False)
    poll(lambda: "SigBlk:\t0000000000000000" not in Path(f"/proc/{gateway.pid}/status").read_text(), "the first line of the program")
    gateway.signal(number)
    if end is None:
        gateway.wait_ready()
        gateway.signal(signal.SIGTERM)
        end = 0
    assert gateway.wait_exit() == end
    gateway.discard()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
@pytest.mark.parametrize("stream", [1, 2])
def test_the_end_waits_for_no_reader_of_the_logs(number, stream):
    """Standard output or error is a full pipe that nobody reads."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        while os.write(writer, b"." * 4096):
            pass
    except BlockingIOError:
        pass
    os.set_blocking(writer, True)
    with Upstream() as upstream:
        gateway = Gateway({"shop": tenant(upstream=upstream)}, {"access_log": {"path": "-"}, "timeouts": {"shutdown_delay": "10ms", "shutdown": "1s"}},
                          start=False)
        gateway.start(preexec=lambda: os.dup2(writer, stream))
        for _ in range(3):
            gateway.write_tenant("bad", "tenant: bad\nnonsense: true\n")
            gateway.signal(signal.SIGHUP)
            assert gateway.request().status == 200
        begin = time.monotonic()
        gateway.signal(number)
        gateway.process.wait(15)
        assert time.monotonic() - begin < 8
        gateway.discard()
    os.close(reader)
    os.close(writer)


def test_drain_is_bounded():
    with Upstream(holding) as upstream:
        gateway = Gateway({"shop": tenant(upstream=upstream)}, {"timeouts": {"shutdown_delay": "10ms", "shutdown": "500ms"}})
        with gateway.connect() as in_flight:
            in_flight.send(request_bytes(target="/hold"))
            upstream.wait_requests(1)
            begin = time.monotonic()
            gateway.signal(signal.SIGTERM)
            assert gateway.wait_exit() == 0
            assert 0.4 <= time.monotonic() - begin < 10
        assert gateway.access_records(url__path="/hold"), "what was cut has its record"
        gateway.assert_clean()
        gateway.discard()


def test_responses_during_the_drain_close_the_connection(upstream):
    gateway = Gateway({"shop": tenant(upstream=upstream)}, {"timeouts": {"shutdown_delay": "1s"}})
    with gateway.connect() as connection:
        assert not connection.exchange(request_bytes()).closes
        gateway.signal(signal.SIGTERM)
        poll(lambda: gateway.admin("/readyz").status == 503, "the drain")
        outcome = connection.exchange(request_bytes())
        assert outcome.status == 200
    assert gateway.wait_exit() == 0
    gateway.discard()


def test_second_signal_hastens_nothing_and_breaks_nothing():
    with Upstream(holding) as upstream:
        gateway = Gateway({"shop": tenant(upstream=upstream)}, {"timeouts": {"shutdown_delay": "10ms", "shutdown": "20s"}})
        with gateway.connect() as in_flight:
            in_flight.send(request_bytes(target="/hold"))
            upstream.wait_requests(1)
            gateway.signal(signal.SIGTERM)
            poll(lambda: gateway.metric("gatehouse_requests_in_flight") == 1 and gateway.admin("/readyz").status == 503, "the drain")
            gateway.signal(signal.SIGHUP)
            gateway.signal(signal.SIGUSR1)
            gateway.wait_metric(1, "gatehouse_config_reloads_total", result="failure")
            assert gateway.metric("gatehouse_config_last_reload_successful") == 0
            gateway.wait_log("the gateway is draining")
            upstream.released.set()
            assert in_flight.response().body == b"done"
        assert gateway.wait_exit() == 0
        gateway.assert_clean()
        gateway.discard()


def test_nothing_that_was_accepted_is_lost_when_stopping(upstream):
    """Connections that the kernel has queued when the listeners close are served: under load SIGTERM cuts nobody."""
    import threading
    gateway = Gateway({"shop": tenant(upstream=upstream)}, {"timeouts": {"shutdown_delay": "200ms", "shutdown": "20s"}})
    failures, served, stop = [], [], threading.Event()

    def client():
        while not stop.is_set():
            try:
                with gateway.connect() as connection:
                    response = connection.exchange(request_bytes(close=True))
                    served.append(response.status)
                    if response.status != 200:
                        failures.append(response)
            except ConnectionRefusedError:
                return
            except Exception as error:  # noqa: BLE001
                failures.append(error)
    threads = [threading.Thread(target=client) for _ in range(6)]
    for thread in threads:
        thread.start()
    poll(lambda: len(served) > 100, "some load")
    gateway.signal(signal.SIGTERM)
    assert gateway.wait_exit() == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
    gateway.discard()


def test_quit_stops_at_once():
    with Upstream(holding) as upstream:
        gateway = Gateway({"shop": tenant(upstream=upstream)}, {"timeouts": {"shutdown_delay": "30s", "shutdown": "30s"}})
        with gateway.connect() as in_flight:
            in_flight.send(request_bytes(target="/hold"))
            upstream.wait_requests(1)
            begin = time.monotonic()
            gateway.signal(signal.SIGQUIT)
            code = gateway.wait_exit()
            assert code == 0 and time.monotonic() - begin < 10
        gateway.assert_clean()
        gateway.discard()


def test_logs_are_opened_anew(upstream):
    with Gateway({"shop": tenant(upstream=upstream, waf={"mode": "block"})}) as gateway:
        attack = "?id=1%27%20OR%20%271%27=%271"
        gateway.request("/before" + attack)
        gateway.access_record(url__path="/before")
        gateway.waf_event(path="/before")
        for path in (gateway.access_log, gateway.audit_log):
            os.rename(path, path + ".1")
        gateway.signal(signal.SIGUSR1)
        poll(lambda: os.path.exists(gateway.access_log) and os.path.exists(gateway.audit_log), "new files")
        gateway.request("/after" + attack)
        gateway.access_record(url__path="/after")
        gateway.waf_event(path="/after")
        for path in (gateway.access_log, gateway.audit_log):
            with open(path + ".1", encoding="utf-8") as file:
                old = file.read()
            assert "/before" in old and "/after" not in old
            with open(path, encoding="utf-8") as file:
                assert "/before" not in file.read()


def test_broken_pipe_of_a_client_is_no_signal(upstream):
    with Gateway({"shop": tenant(upstream=upstream)}) as gateway:
        for _ in range(30):
            with gateway.connect() as connection:
                connection.send(request_bytes() * 20)
                connection.reset()
        assert gateway.request().status == 200


def test_a_port_in_use_is_told_and_ends_with_1(upstream):
    with Gateway({"shop": tenant(upstream=upstream)}) as gateway:
        for key in ("http", "admin"):
            second = Gateway({"shop": tenant(upstream=upstream)}, start=False)
            if key == "admin":
                second.write_config(admin={"address": f"127.0.0.1:{gateway.admin_port}"})
                address = f"127.0.0.1:{gateway.admin_port}"
            else:
                import socket
                holder = socket.socket()
                holder.bind(("127.0.0.1", 0))
                holder.listen()
                address = "127.0.0.1:%d" % holder.getsockname()[1]
                second.write_config(listeners=[{"address": address, "protocol": "http"}])
            result = run_command("run", "--config", second.configuration, timeout=30)
            assert result.returncode == 1 and address in result.stdout + result.stderr
            second.discard()
