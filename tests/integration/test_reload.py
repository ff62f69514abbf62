"""Reload: by SIGHUP and by changed files; what is invalid keeps what was valid; what cannot change is refused by name."""
import contextlib
import json
import os
import signal
import time

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.http2 import Client
from harness.polling import poll
from harness.ports import free_port
from harness.upstream import Upstream


@pytest.fixture
def gateway(upstream):
    with Gateway({"shop": tenant(upstream=upstream), "other": tenant("other", upstream)}) as running:
        yield running


def reload(gateway):
    """SIGHUP, and waits until it is done. Returns whether it counted as a success."""
    before = gateway.metrics()
    gateway.signal(signal.SIGHUP)
    gateway.wait_metric(lambda value: value > before.total("gatehouse_config_reloads_total"), "gatehouse_config_reloads_total")
    return gateway.metric("gatehouse_config_last_reload_successful") == 1


def with_header(upstream, value):
    """A tenant that can be told from its other versions: one path for each."""
    return tenant(upstream=upstream, routes=[{"match": {"path": f"/{value}"}, "service": "web"}])


def test_by_signal(gateway, upstream):
    gateway.write_tenant("shop", with_header(upstream, "second"))
    assert reload(gateway)
    assert gateway.request("/second").status == 200 and gateway.request("/first").status == 404


def test_by_changed_file(gateway, upstream):
    gateway.write_tenant("shop", with_header(upstream, "second"))
    poll(lambda: gateway.request("/first").status == 404, "the change to be noticed")
    assert gateway.request("/second").status == 200
    poll(lambda: gateway.metric("gatehouse_config_reloads_total") >= 1, "the reload to be counted")


def test_a_file_written_in_place(gateway, upstream):
    """As `cat >` does it."""
    from harness.gateway import to_yaml
    with open(os.path.join(gateway.tenants_folder, "shop.yaml"), "w", encoding="utf-8") as file:
        file.write(to_yaml(with_header(upstream, "second")))
    poll(lambda: gateway.request("/second").status == 200 and gateway.request("/first").status == 404, "the change to be noticed")


def test_a_tenant_that_comes_and_goes(gateway, upstream):
    assert gateway.request(host="new.test").status == 404
    gateway.write_tenant("new", tenant("new", upstream))
    poll(lambda: gateway.request(host="new.test").status == 200, "the new tenant")
    gateway.remove_tenant("new")
    poll(lambda: gateway.request(host="new.test").status == 404, "the tenant to be gone")
    assert gateway.metric("gatehouse_tenant_config_valid", tenant="new") == 0 and \
        {"tenant": "new"} not in gateway.metrics().labels("gatehouse_tenant_config_valid")


def test_a_config_map(upstream):
    """Kubernetes mounts a ConfigMap as symbolic links through ..data, which is replaced as a whole."""
    from harness.gateway import to_yaml
    gateway = Gateway({}, start=False)
    folder = gateway.tenants_folder

    def publish(version, content):
        os.mkdir(os.path.join(folder, f"..{version}"))
        with open(os.path.join(folder, f"..{version}", "shop.yaml"), "w", encoding="utf-8") as file:
            file.write(to_yaml(content))
        os.symlink(f"..{version}", os.path.join(folder, "..data_tmp"))
        os.replace(os.path.join(folder, "..data_tmp"), os.path.join(folder, "..data"))

    publish("first", with_header(upstream, "first"))
    os.symlink("..data/shop.yaml", os.path.join(folder, "shop.yaml"))
    with gateway:
        assert gateway.request("/first").status == 200
        publish("second", with_header(upstream, "second"))
        poll(lambda: gateway.request("/second").status == 200, "the change to be noticed")


@pytest.mark.parametrize("text", ["tenant: shop\nnonsense: true\n", "not: [valid", "", "tenant: shop\n"])
def test_an_invalid_tenant_keeps_its_last_valid_version(gateway, upstream, text):
    gateway.write_tenant("shop", text)
    gateway.write_tenant("other", tenant("other", upstream, routes=[{"match": {"path": "/second"}, "service": "web"}]))
    reload(gateway)
    assert gateway.request("/first").status == 200, "the last valid version serves on"
    assert gateway.request("/second", host="other.test").status == 200 and gateway.request("/first", host="other.test").status == 404, "and the others are updated"
    assert gateway.metric("gatehouse_tenant_config_valid", tenant="shop") == 0
    assert gateway.metric("gatehouse_tenant_config_valid", tenant="other") == 1
    gateway.wait_log("shop.yaml")
    gateway.write_tenant("shop", with_header(upstream, "third"))
    reload(gateway)
    assert gateway.metric("gatehouse_tenant_config_valid", tenant="shop") == 1
    assert gateway.request("/third").status == 200
    assert gateway.metric("gatehouse_config_reloads_total") >= 2, "every SIGHUP counts"


def test_an_invalid_tenant_at_the_start_is_left_out(upstream):
    with Gateway({"good": tenant("good", upstream), "shop": "tenant: shop\nnonsense: true\n", "unreadable": "{{{"}) as gateway:
        assert gateway.request(host="good.test").status == 200
        assert gateway.request(host="shop.test").status == 404
        valid = {labels["tenant"]: gateway.metric("gatehouse_tenant_config_valid", **labels)
                 for labels in gateway.metrics().labels("gatehouse_tenant_config_valid")}
        assert valid == {"good": 1, "shop": 0, "unreadable": 0}, "the file's stem where the name cannot be read"
        gateway.wait_log("shop.yaml")
        gateway.wait_log("nonsense")


def test_a_host_that_two_claim_stays_with_the_first(gateway, upstream):
    gateway.write_tenant("zzz", tenant("zzz", upstream, hosts=[{"name": "shop.test", "tls": "off"}]))
    reload(gateway)
    upstream.forget()
    gateway.request("/claimed")
    assert gateway.access_record(url__path="/claimed")["labels.tenant"] == "shop"
    assert gateway.metric("gatehouse_tenant_config_valid", tenant="zzz") == 0


@pytest.mark.parametrize("claim", ["shop.example.de", "*.example.de"])
def test_who_claims_a_host_by_an_earlier_file_name_takes_nothing_else(upstream, claim):
    hosts = [{"name": name, "tls": "off"} for name in ("shop.example.de", "shop.other.de")]
    shop = tenant("shop", upstream, hosts=hosts)
    evil = tenant("evil", upstream, hosts=[{"name": claim, "tls": "off"}])

    def others_are_served(gateway):
        upstream.forget()
        assert gateway.request("/kept", host="shop.other.de").status == 200
        assert gateway.access_record(url__path="/kept")["labels.tenant"] == "shop"
        assert gateway.metric("gatehouse_tenant_config_valid", tenant="shop") == 0
        assert gateway.metric("gatehouse_tenant_config_valid", tenant="evil") == 1
        gateway.wait_log("'shop.example.de'")

    with Gateway({"shop": shop}) as gateway:
        gateway.write_tenant("evil", evil)
        reload(gateway)
        others_are_served(gateway)
        gateway.remove_tenant("evil")
        reload(gateway)
        assert gateway.request(host="shop.example.de").status == 200
        assert gateway.metric("gatehouse_tenant_config_valid", tenant="shop") == 1
    with Gateway({"shop": shop, "evil": evil}) as gateway:
        others_are_served(gateway)


def test_a_tenants_name_belongs_to_the_file_that_is_called_after_it(upstream):
    evil = tenant("shop", upstream, hosts=[{"name": "evil.test", "tls": "off"}])
    with Gateway({"shop": tenant("shop", upstream)}) as gateway:
        gateway.write_tenant("evil", evil)
        reload(gateway)
        assert gateway.request(host="shop.test").status == 200
        assert gateway.request(host="evil.test").status == 404
        assert gateway.metric("gatehouse_tenant_config_valid", tenant="shop") == 1
        assert gateway.metric("gatehouse_tenant_config_valid", tenant="evil") == 0


def test_an_invalid_gateway_file_keeps_the_old_one(gateway, upstream):
    gateway.write_config(nonsense=True)
    gateway.write_tenant("shop", with_header(upstream, "second"))
    assert not reload(gateway)
    assert gateway.request("/first").status == 200
    assert gateway.metric("gatehouse_config_reloads_total", result="failure") >= 1
    gateway.wait_log("nonsense")
    gateway.write_config(nonsense=None)
    assert reload(gateway)
    assert gateway.request("/second").status == 200


@pytest.mark.parametrize("key, value", [
    ("workers", 1), ("listeners", None), ("admin", None), ("metrics", None), ("storage", {"file": "/tmp/elsewhere"}),
])
def test_what_a_restart_takes_is_refused_by_name(gateway, upstream, key, value):
    if value is None:
        address = f"127.0.0.1:{free_port()}"
        value = [*gateway.config["listeners"], {"address": address, "protocol": "http"}] if key == "listeners" else {"address": address}
    gateway.write_config(**{key: value})
    gateway.write_tenant("shop", with_header(upstream, "second"))
    assert not reload(gateway)
    gateway.wait_log(key)
    assert gateway.request("/first").status == 200, "nothing of it is applied"


def test_other_keys_of_the_gateway_are_applied(gateway):
    gateway.write_config(limits={"target_bytes": "1KiB"}, timeouts={"idle": "200ms"}, site="elsewhere")
    assert reload(gateway)
    assert gateway.request("/" + "a" * 2000).status == 414
    with gateway.connect() as connection:
        assert connection.exchange(request_bytes()).status == 200
        connection.expect_closed(10)


def test_certificates_are_read_again(upstream, authority):
    certificate, key = authority.issue("renewed.test", days=5)
    hosts = [{"name": "renewed.test", "tls": {"certificate_file": certificate, "key_file": key}}]
    with Gateway({"shop": tenant(upstream=upstream, hosts=hosts)}, files=[authority.folder]) as gateway:
        def served():
            with gateway.connect(tls=True, server_name="renewed.test") as connection:
                return connection.socket.getpeercert(binary_form=True)
        first, expiry = served(), gateway.metric("gatehouse_certificate_not_after_seconds", host="renewed.test")
        authority.issue("renewed.test", days=20)
        reload(gateway)
        poll(lambda: served() != first, "the new certificate")
        assert gateway.metric("gatehouse_certificate_not_after_seconds", host="renewed.test") > expiry + 10 * 86400


@contextlib.contextmanager
def tenant_removed_under_a_request():
    """The gateway, and what lets the upstream answer and checks that the client gets it."""
    def hold(connection, request):
        connection.upstream.released.wait(20)
        connection.respond(body="done")

    with Upstream(hold) as upstream, Gateway({"shop": tenant(upstream=upstream)}) as gateway, gateway.connect() as connection:
        def finish():
            upstream.released.set()
            assert connection.response().body == b"done"
        connection.send(request_bytes(target="/held"))
        upstream.wait_requests(1)
        gateway.remove_tenant("shop")
        assert reload(gateway)
        yield gateway, upstream, finish


def test_requests_under_way_finish_with_what_they_began():
    with tenant_removed_under_a_request() as (gateway, _, finish):
        assert gateway.request().status == 404
        finish()


def test_no_request_fails_while_reloading(gateway):
    with gateway.connect() as connection:
        for turn in range(10):
            gateway.signal(signal.SIGHUP)
            for _ in range(10):
                assert connection.exchange(request_bytes()).status == 200
                assert gateway.request().status == 200
    gateway.wait_metric(lambda value: value >= 1, "gatehouse_config_reloads_total")


def test_a_file_written_while_a_reload_is_under_way(gateway, upstream):
    """It may have been read before or not; in the end it must have been."""
    for number in range(40):   # what a reload has to do, so that it takes a while
        rule = f'SecRule ARGS:x "@streq {number}" "id:10001,phase:2,deny,status:403"'
        gateway.write_tenant(f"w{number}", tenant(f"w{number}", upstream, waf={"mode": "block", "rules_before": rule}))
    reload(gateway)
    for number in range(12):
        gateway.write_tenant("a", tenant("a", upstream, waf={"mode": "block", "rules_before": f'SecAction "id:10001,phase:1,pass,nolog,setvar:tx.x={number}"'}))
        gateway.signal(signal.SIGHUP)
        for _ in range(3 * number):   # another moment of it each time
            gateway.request(host="other.test")
        gateway.write_tenant("shop", with_header(upstream, f"turn{number}"))
        poll(lambda path=f"/turn{number}": gateway.request(path).status == 200, "the change to be noticed", 5)


def test_health_is_remembered_over_a_reload():
    """An endpoint that was found dead does not get traffic again because a file was touched."""
    health = {"path": "/healthz", "interval": "100ms", "timeout": "200ms", "unhealthy_after": 2, "healthy_after": 2}
    with Upstream(name="well", health="/healthz") as well, Upstream(name="ill", health="/healthz") as ill:
        ill.healthy = False
        services = {"web": {"sites": [{"site": "here", "endpoints": [well.address, ill.address]}], "health": health}}
        with Gateway({"shop": tenant(services=services)}) as gateway:
            gateway.wait_metric(0, "gatehouse_endpoint_healthy", endpoint=ill.address)
            assert reload(gateway)
            assert {json.loads(gateway.request().body)["upstream"] for _ in range(6)} == {"well"}


def test_waf_of_a_tenant_changes(gateway, upstream):
    attack = "/?id=1%27%20OR%20%271%27=%271"
    assert gateway.request(attack).status == 200
    gateway.write_tenant("shop", tenant(upstream=upstream, waf={"mode": "block"}))
    reload(gateway)
    assert gateway.request(attack).status == 403
    gateway.write_tenant("shop", tenant(upstream=upstream, waf={"mode": "block", "exclusions": [{"rule": 1, "nonsense": 2}]}))
    reload(gateway)
    assert gateway.request(attack).status == 403


def test_reloads_do_not_add_up(gateway, upstream, is_sanitized):
    """Neither unchanged ones nor new policies make the process grow."""
    def turn(number):
        text = f'SecRule ARGS:x "@streq {number}" "id:10001,phase:2,deny,status:403"'
        gateway.write_tenant("shop", tenant(upstream=upstream, waf={"mode": "block", "rules_before": text}))
        reload(gateway)
        assert gateway.request(f"/?x={number}").status == 403

    for number in range(10):
        turn(number)
    before = gateway.memory_bytes()
    for number in range(10, 40):
        turn(number)
    if not is_sanitized:
        assert gateway.memory_bytes() - before < 16 << 20
    assert gateway.open_files() < 100


def test_a_renewed_certificate_ends_no_connection(upstream, authority):
    """But one whose rules became stricter does: a connection made without a client's certificate does not stay."""
    certificate, key = authority.issue("kept.test", days=5)
    files = {"certificate_file": certificate, "key_file": key}

    def kept(**tls):
        return tenant(upstream=upstream, hosts=[{"name": "kept.test", "tls": {**files, **tls}}])
    with Gateway({"shop": kept()}, files=[authority.folder]) as gateway, \
            gateway.connect(tls=True, server_name="kept.test") as connection, Client(gateway, server_name="kept.test") as client:
        def statuses():
            return [connection.exchange(request_bytes(host="kept.test")).status, client.exchange("/", host="kept.test").status]
        assert statuses() == [200, 200]
        expiry = gateway.metric("gatehouse_certificate_not_after_seconds", host="kept.test")
        authority.issue("kept.test", days=20)
        reload(gateway)
        gateway.wait_metric(lambda value: value > expiry, "gatehouse_certificate_not_after_seconds", host="kept.test")
        assert statuses() == [200, 200]
        gateway.write_tenant("shop", kept(client_auth="required", client_ca_file=authority.certificate))
        assert reload(gateway)
        assert statuses() == [421, 421]


def test_what_is_not_named_any_more_has_no_series(gateway, upstream):
    def generation(number):
        limits = {f"limit{number}": {"rate": "1000/s", "key": "client_ip"}}
        routes = [{"name": f"route{number}", "match": {"path": "/"}, "service": "web", "rate_limits": [f"limit{number}"]}]
        gateway.write_tenant("shop", tenant(upstream=upstream, routes=routes, rate_limits=limits))
        assert reload(gateway)
        assert gateway.request().status == 200
        gateway.wait_metric(1, "gatehouse_requests_total", tenant="shop", route=f"route{number}")
    for number in range(3):
        generation(number)
    text = gateway.admin("/metrics").body.decode()
    assert "route2" in text and "limit2" in text
    assert not [line for line in text.splitlines() if "route0" in line or "route1" in line or "limit0" in line or "limit1" in line]
    assert gateway.metric("gatehouse_requests_total", tenant="shop", route="route2") == 1


def test_requests_of_a_tenant_that_went_and_came_back_are_counted():
    with tenant_removed_under_a_request() as (gateway, upstream, finish):
        gateway.write_tenant("shop", tenant(upstream=upstream))
        assert reload(gateway)
        assert gateway.metric("gatehouse_requests_in_flight", tenant="shop") == 1
        finish()
        gateway.wait_metric(0, "gatehouse_requests_in_flight", tenant="shop")


def test_a_connection_speaks_for_no_host_that_comes_later(upstream, authority):
    """Its own host goes and comes back with another one that asks clients for certificates."""
    acme = {"default": {"directory": "https://127.0.0.1:9/directory"}}

    def hosted(name, **tls):
        return tenant(upstream=upstream, hosts=[{"name": name, "tls": {"acme": "default", **tls}}])
    with Gateway({"shop": hosted("one.test")}, {"acme": acme}, files=[authority.folder]) as gateway, Client(gateway, server_name="one.test") as client:
        assert client.exchange("/", host="one.test").status == 200
        gateway.write_tenant("shop", hosted("two.test", client_auth="required", client_ca_file=authority.certificate))
        for _ in range(3):  # what was kept of the first is forgotten
            assert reload(gateway)
        assert client.exchange("/", host="one.test").status == 421
        assert client.exchange("/", host="two.test").status == 421
        gateway.write_tenant("shop", hosted("one.test", client_auth="required", client_ca_file=authority.certificate))
        assert reload(gateway)
        assert client.exchange("/", host="one.test").status == 421
        gateway.write_tenant("shop", hosted("one.test"))
        assert reload(gateway)
        assert client.exchange("/", host="one.test").status == 200


def test_a_log_that_is_given_up_holds_nobody_up(upstream, tmp_path, is_sanitized):
    """The old one is a pipe whose reader is stuck."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with Gateway({"shop": tenant(upstream=upstream)}, {"workers": 1, "access_log": {"path": str(pipe)}}) as gateway, gateway.connect() as connection:
            for _ in range(400):
                assert connection.exchange(request_bytes()).status == 200
            gateway.write_config(access_log={"path": str(tmp_path / "file.log")})
            gateway.signal(signal.SIGHUP)
            slowest, end = 0, time.monotonic() + 2
            while time.monotonic() < end:
                begin = time.monotonic()
                assert connection.exchange(request_bytes(target="/after")).status == 200
                slowest = max(slowest, time.monotonic() - begin)
            assert is_sanitized or slowest < 0.95, "the last lines of a pipe are waited for a second"
            poll(lambda: "/after" in (tmp_path / "file.log").read_text(), "records in the new log")
    finally:
        os.close(reader)
