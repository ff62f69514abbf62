"""Rate limits in this node's memory: what counts as one client, what is charged, what the answer says."""
import re

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant


@pytest.fixture(scope="module")
def gateway(upstream):
    def limit(key="client_ip", burst=3, rate="1/h", **more):
        return {"key": key, "rate": rate, "burst": burst, **more}

    def route(path, *limits):
        return {"match": {"path": path}, "service": "web", "rate_limits": list(limits)}

    limits = {"per_client": limit(), "per_tenant": limit("tenant", 4), "per_host": limit("host", 2), "per_key": limit("header:X-Api-Key", 2),
              "per_both": limit(["client_ip", "header:X-Api-Key"], 2), "watched": limit(shadow=True, burst=1), "told": limit(burst=5, headers="always"),
              "wide": limit(burst=6), "narrow": limit(burst=2), "second": {"key": "client_ip", "rate": "10/s", "burst": 20},
              "no_burst": {"key": "client_ip", "rate": "2/s"}, "slowest": {"key": "client_ip", "rate": "1/h"}, "paid": limit(burst=4),
              "quick": {"key": "client_ip", "rate": "4/s", "burst": 1}, "spoofed": limit("header:X-Forwarded-For", 2),
              "watched_behind": limit(shadow=True, burst=2), "narrow_before": limit(burst=3), "tenant_behind": limit("tenant", 50),
              "watched_and_told": limit(shadow=True, burst=1, headers="always")}
    routes = [route("/client", "per_client"), route("/tenant", "per_tenant"), route("/host", "per_host"), route("/key", "per_key"),
              route("/both", "per_both"), route("/watched", "watched"), route("/told", "told"), route("/two", "wide", "narrow"), route("/one", "wide"),
              route("/second", "second"), route("/no-burst", "no_burst"), route("/slowest", "slowest"), route("/paid", "paid"), route("/quick", "quick"),
              route("/watched-and-narrow", "watched_behind", "narrow_before", "tenant_behind"), route("/spoofed", "spoofed"), route("/watched-and-told", "watched_and_told"),
              route("/unlimited")]
    hosts = [{"name": "shop.test", "tls": "off"}, {"name": "second.test", "tls": "off"}]
    shop = tenant(upstream=upstream, hosts=hosts, rate_limits=limits, routes=routes, waf={"mode": "block"}, access={"deny": ["127.0.3.0/24"]})
    other = tenant("other", upstream, rate_limits={"per_client": limit(), "per_key": limit("header:X-Api-Key", 2)},
                   routes=[route("/client", "per_client"), route("/key", "per_key")])
    with Gateway({"shop": shop, "other": other}, {"trusted_proxies": ["127.0.2.1/32"]}) as running:
        yield running


def statuses(gateway, count, target, **options):
    return [gateway.request(target, **options).status for _ in range(count)]


def test_a_full_bucket_and_no_more(gateway):
    assert statuses(gateway, 5, "/client", source="127.0.1.1") == [200, 200, 200, 429, 429]
    assert statuses(gateway, 1, "/client", source="127.0.1.2") == [200], "another client has its own"


def test_one_bucket_over_all_workers_and_connections(gateway):
    source = "127.0.1.3"
    connections = [gateway.connect(source=source) for _ in range(8)]
    for connection in connections:
        connection.send(request_bytes(target="/client"))
    found = sorted(connection.response().status for connection in connections)
    for connection in connections:
        connection.close()
    assert found == [200] * 3 + [429] * 5


def test_the_answer(gateway, upstream):
    source = "127.0.1.4"
    statuses(gateway, 3, "/client", source=source)
    upstream.forget()
    response = gateway.request("/client", source=source)
    assert response.status == 429
    assert upstream.requests == []
    assert 3500 <= int(response.header("retry-after")) <= 3600
    assert response.header("ratelimit-policy") == '"per_client";q=3;w=10800'
    match = re.fullmatch(r'"per_client";r=0;t=(\d+)', response.header("ratelimit"))
    assert match and 3500 <= int(match[1]) <= 3600
    assert response.has("x-request-id")


def test_the_policy_as_the_contract_writes_it(gateway):
    with gateway.connect(source="127.0.1.5") as connection:
        for _ in range(200):
            response = connection.exchange(request_bytes(target="/second"))
            if response.status == 429:
                break
        assert response.status == 429
        assert response.header("ratelimit-policy") == '"second";q=20;w=2'
        assert response.header("ratelimit") == '"second";r=0;t=1'
        assert response.header("retry-after") == "1"


def test_no_headers_on_what_passes_unless_asked_for(gateway):
    response = gateway.request("/client", source="127.0.1.6")
    assert response.status == 200 and not response.has("ratelimit") and not response.has("ratelimit-policy") and not response.has("retry-after")
    response = gateway.request("/told", source="127.0.1.6")
    assert response.status == 200 and response.header("ratelimit-policy") == '"told";q=5;w=18000'
    assert re.fullmatch(r'"told";r=4;t=\d+', response.header("ratelimit")) and not response.has("retry-after")


def test_default_burst_is_a_second_of_rate_and_at_least_one(gateway):
    with gateway.connect(source="127.0.1.7") as connection:
        connection.send(request_bytes(target="/slowest") * 2)
        assert [connection.response().status for _ in range(2)] == [200, 429]
        connection.send(request_bytes(target="/no-burst") * 3)
        found = [connection.response() for _ in range(3)]
        assert [response.status for response in found] == [200, 200, 429]
        assert found[2].header("ratelimit-policy") == '"no_burst";q=2;w=1'


def test_tokens_come_back(gateway):
    from harness.polling import poll
    source = "127.0.1.8"
    assert gateway.request("/quick", source=source).status == 200
    poll(lambda: gateway.request("/quick", source=source).status == 429, "an empty bucket")
    poll(lambda: gateway.request("/quick", source=source).status == 200, "a token after a quarter of a second")


def test_tenant_and_host(gateway):
    assert statuses(gateway, 2, "/tenant", source="127.0.1.10") + statuses(gateway, 3, "/tenant", source="127.0.1.11", host="second.test") == [200] * 4 + [429]
    assert statuses(gateway, 3, "/host", source="127.0.1.10") == [200, 200, 429]
    assert statuses(gateway, 1, "/host", source="127.0.1.10", host="SHOP.test.:80") == [429], "a host has one bucket however it is written"
    assert statuses(gateway, 3, "/host", source="127.0.1.10", host="second.test") == [200, 200, 429]


def test_same_name_in_another_tenant_is_another_bucket(gateway):
    source = "127.0.1.12"
    assert statuses(gateway, 4, "/client", source=source)[-1] == 429
    assert statuses(gateway, 1, "/client", source=source, host="other.test") == [200]


def test_header(gateway):
    def send(count, *headers, source="127.0.1.13"):
        return statuses(gateway, count, "/key", headers=[("X-Api-Key", value) for value in headers], source=source)
    assert send(3, "one") == [200, 200, 429]
    assert send(1, "two") == [200]
    assert send(1, "one", source="127.0.1.14") == [429], "whoever uses the key"
    assert send(3) == [200, 200, 429], "without it: by client address, in a bucket apart"
    assert send(1, source="127.0.1.14") == [200]
    assert send(3, "127.0.1.14", source="127.0.1.15") == [200, 200, 429], "a value that looks like an address is not that address"
    assert send(1, source="127.0.1.14") == [200]


@pytest.mark.parametrize("value", ["x" * 5000, "a:b", "a\tb", "}{", "%00", "\xe9", "*", "'; FLUSHALL"])
def test_any_header_value_is_a_key(gateway, value):
    assert statuses(gateway, 3, "/key", host="other.test", headers=[("X-Api-Key", value)]) == [200, 200, 429]


def test_a_host_is_one_key_however_it_is_written(upstream):
    limits = {"by_host": {"rate": "1/m", "burst": 2, "key": "header:host"}}
    routes = [{"match": {"path": "/"}, "service": "web", "rate_limits": ["by_host"]}]
    with Gateway({"shop": tenant(upstream=upstream, rate_limits=limits, routes=routes)}) as gateway:
        assert [gateway.request(host=host).status for host in ("shop.test", "SHOP.test:80", "shop.test.:8080")] == [200, 200, 429]


def test_several_fields_are_no_key(gateway):
    """An upstream may read the last where we read the first: a new one each time would be a bucket each time."""
    def ask(number, source="127.0.1.44"):
        return gateway.request("/key", headers=[("X-Api-Key", f"random{number}"), ("X-Api-Key", "mine")], source=source).status
    assert [ask(number) for number in range(4)] == [200, 200, 429, 429]
    assert ask(9, "127.0.1.45") == 200


def test_a_header_that_connection_names_is_no_key(gateway, upstream):
    """The upstream never gets it: a new one each time would be a bucket each time."""
    def ask(number, *more):
        return gateway.request("/key", headers=[("Connection", "X-Api-Key"), ("X-Api-Key", f"random{number}"), *more], source="127.0.1.46").status
    upstream.forget()
    assert [ask(number) for number in range(4)] == [200, 200, 429, 429]
    assert ask(4, ("X-Api-Key", "another")) == 429
    assert all(request.header("x-api-key") is None for request in upstream.requests)


def test_a_list_of_keys(gateway):
    def send(count, key, source):
        return statuses(gateway, count, "/both", headers=[("X-Api-Key", key)], source=source)
    assert send(3, "a", "127.0.1.16") == [200, 200, 429]
    assert send(1, "b", "127.0.1.16") == [200] and send(1, "a", "127.0.1.17") == [200]


def test_shadow_limits_count_and_refuse_nothing(gateway):
    before = gateway.metrics()
    assert statuses(gateway, 4, "/watched", source="127.0.1.18") == [200] * 4
    for decision, count in (("shadow_limited", 3), ("allowed", 1), ("limited", 0)):
        gateway.wait_metric(before.total("gatehouse_ratelimit_decisions_total", limit="watched", decision=decision) + count,
                            "gatehouse_ratelimit_decisions_total", tenant="shop", limit="watched", decision=decision)


def test_what_one_limit_refuses_the_others_have_not_allowed(gateway):
    """Nor does a limit that only watches see it: it is tried on what it would have to decide."""
    assert statuses(gateway, 6, "/watched-and-narrow", source="127.0.1.42") == [200] * 3 + [429] * 3
    for limit, decision, count in (("narrow_before", "allowed", 3), ("narrow_before", "limited", 3), ("tenant_behind", "allowed", 3),
                                   ("tenant_behind", "limited", 0), ("watched_behind", "allowed", 2), ("watched_behind", "shadow_limited", 1)):
        gateway.wait_metric(count, "gatehouse_ratelimit_decisions_total", tenant="shop", limit=limit, decision=decision)


def test_shadow_limits_send_no_fields(gateway):
    response = gateway.request("/watched-and-told", source="127.0.1.40")
    assert not response.has("ratelimit") and not response.has("ratelimit-policy")


def test_what_an_untrusted_client_says_of_others_is_no_key(gateway):
    """A client that makes up proxies gets no bucket for each of them: the field is as if it were missing."""
    def send(source, said):
        return gateway.request("/spoofed", headers=[("X-Forwarded-For", said)], source=source).status
    assert [send("127.0.1.41", f"192.0.2.{number}") for number in range(3)] == [200, 200, 429]
    assert [send("127.0.2.1", f"192.0.2.{number}") for number in range(3)] == [200, 200, 200], "of a trusted proxy it is believed"


def test_refused_by_one_limit_is_charged_by_none(gateway):
    source = "127.0.1.19"
    assert statuses(gateway, 5, "/two", source=source) == [200, 200, 429, 429, 429]
    assert statuses(gateway, 5, "/one", source=source) == [200] * 4 + [429]


def test_the_limit_that_refused_is_the_one_that_is_named(gateway):
    source = "127.0.1.20"
    statuses(gateway, 2, "/two", source=source)
    assert '"narrow"' in gateway.request("/two", source=source).header("ratelimit")


def test_what_the_access_list_refuses_pays_nothing(gateway):
    assert statuses(gateway, 2, "/tenant", source="127.0.3.1") == [403, 403]
    before = gateway.metric("gatehouse_ratelimit_decisions_total", tenant="shop", limit="per_client")
    assert gateway.request("/client", source="127.0.3.1").status == 403
    assert gateway.metric("gatehouse_ratelimit_decisions_total", tenant="shop", limit="per_client") == before


def test_what_the_waf_blocks_has_paid(gateway):
    source = "127.0.1.21"
    attack = "/paid?id=1%27%20OR%20%271%27=%271"
    assert statuses(gateway, 3, attack, source=source) == [403] * 3
    assert statuses(gateway, 2, "/paid", source=source) == [200, 429]
    before = gateway.metric("gatehouse_waf_requests_total", tenant="shop", verdict="blocked")
    assert gateway.request(attack, source=source).status == 429, "and a limited one costs no inspection"
    assert gateway.metric("gatehouse_waf_requests_total", tenant="shop", verdict="blocked") == before


def test_by_the_client_that_a_trusted_proxy_names(gateway):
    def send(count, address):
        return statuses(gateway, count, "/client", source="127.0.2.1", headers=[("X-Forwarded-For", address)])
    assert send(4, "203.0.113.9") == [200, 200, 200, 429]
    assert send(1, "203.0.113.10") == [200]
    assert send(1, "::ffff:203.0.113.9") == [429], "one client in either notation"


def test_decisions_are_counted(gateway):
    source = "127.0.1.22"
    before = gateway.metrics()
    statuses(gateway, 5, "/client", source=source)
    for decision, count in (("allowed", 3), ("limited", 2)):
        gateway.wait_metric(before.total("gatehouse_ratelimit_decisions_total", tenant="shop", limit="per_client", decision=decision) + count,
                            "gatehouse_ratelimit_decisions_total", tenant="shop", limit="per_client", decision=decision)
    gateway.wait_metric(before.total("gatehouse_local_replies_total", tenant="shop", reason="rate_limit") + 2,
                        "gatehouse_local_replies_total", tenant="shop", reason="rate_limit")


def test_unlimited_route(gateway):
    with gateway.connect(source="127.0.1.23") as connection:
        connection.send(request_bytes(target="/unlimited") * 100)
        assert {connection.response().status for _ in range(100)} == {200}


def test_a_limited_request_with_a_body_leaves_the_connection_sound(gateway):
    source = "127.0.1.24"
    statuses(gateway, 3, "/client", source=source)
    hidden = request_bytes(target="/unlimited/hidden")
    with gateway.connect(source=source) as connection:
        connection.try_send(request_bytes("POST", "/client", body=hidden))
        response = connection.response()
        assert response.status == 429
        connection.finish_sending()
        connection.expect_closed()


def test_buckets_survive_a_reload(gateway):
    import signal
    source = "127.0.1.25"
    statuses(gateway, 3, "/client", source=source)
    before = gateway.metric("gatehouse_config_reloads_total")
    gateway.signal(signal.SIGHUP)
    gateway.wait_metric(lambda value: value > before, "gatehouse_config_reloads_total")
    assert gateway.request("/client", source=source).status == 429
