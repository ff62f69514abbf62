"""Rate limits in Redis: one bucket for several gateways, TLS and ACL, one round trip, what is left behind there."""
import signal
import time

import pytest

from harness.client import request_bytes
from harness.gateway import Gateway, tenant
from harness.polling import poll
from harness.redis_server import RedisServer

ROUTES = [{"match": {"path": "/watched"}, "service": "web", "rate_limits": ["watched", "narrow", "per_tenant"]},
          {"match": {"path": "/two"}, "service": "web", "rate_limits": ["per_client", "per_tenant"]},
          {"match": {"path": "/"}, "service": "web", "rate_limits": ["per_client"]}]
LIMITS = {"per_client": {"key": "client_ip", "rate": "1/h", "burst": 5}, "per_tenant": {"key": "tenant", "rate": "1/m", "burst": 100},
          "watched": {"key": "client_ip", "rate": "1/h", "burst": 2, "shadow": True}, "narrow": {"key": "client_ip", "rate": "1/h", "burst": 3}}


def limited(name, upstream):
    return tenant(name, upstream, routes=ROUTES, rate_limits=LIMITS)


@pytest.fixture(scope="module")
def gateways(redis, upstream):
    config = {"redis": {"url": f"redis://127.0.0.1:{redis.port}/0"}}
    tenants = {"shop": limited("shop", upstream), "other": limited("other", upstream)}
    with Gateway(tenants, config) as one, Gateway(tenants, config) as two:
        for gateway in (one, two):
            gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
        yield one, two


def statuses(gateway, count, source, target="/", **options):
    return [gateway.request(target, source=source, **options).status for _ in range(count)]


def test_one_bucket_for_two_gateways(gateways):
    one, two = gateways
    assert statuses(one, 3, "127.0.1.1") + statuses(two, 4, "127.0.1.1") + statuses(one, 1, "127.0.1.1") == [200] * 5 + [429] * 3


def test_no_more_than_the_burst_in_a_rush(gateways):
    """Concurrent requests at both gateways: exactly as many pass as there are tokens."""
    connections = [gateway.connect(source="127.0.1.2") for gateway in gateways for _ in range(10)]
    for connection in connections:
        connection.send(request_bytes())
    found = [connection.response().status for connection in connections]
    for connection in connections:
        connection.close()
    assert sorted(found) == [200] * 5 + [429] * 15


def test_the_answer(gateways):
    one, two = gateways
    statuses(one, 5, "127.0.1.3")
    response = two.request(source="127.0.1.3")
    assert response.status == 429 and 3500 <= int(response.header("retry-after")) <= 3600
    assert response.header("ratelimit-policy") == '"per_client";q=5;w=18000'
    assert response.header("ratelimit").startswith('"per_client";r=0;t=')


def test_tenants_do_not_share(gateways):
    statuses(gateways[0], 5, "127.0.1.4")
    assert statuses(gateways[0], 1, "127.0.1.4", host="other.test") == [200]


def test_one_round_trip_for_all_limits_of_a_request(gateways):
    before = gateways[0].metric("gatehouse_ratelimit_store_requests_total")
    assert statuses(gateways[0], 3, "127.0.1.5", "/two") == [200] * 3
    gateways[0].wait_metric(before + 3, "gatehouse_ratelimit_store_requests_total")


def test_a_limit_that_only_watches_is_asked_when_the_others_have_said_yes(gateways):
    before = gateways[0].metrics()
    assert statuses(gateways[0], 5, "127.0.1.8", "/watched") == [200] * 3 + [429] * 2
    for limit, decision, count in (("narrow", "allowed", 3), ("narrow", "limited", 2), ("per_tenant", "allowed", 3), ("watched", "allowed", 2),
                                   ("watched", "shadow_limited", 1)):
        known = before.total("gatehouse_ratelimit_decisions_total", tenant="shop", limit=limit, decision=decision)
        gateways[0].wait_metric(known + count, "gatehouse_ratelimit_decisions_total", tenant="shop", limit=limit, decision=decision)
    calls = "gatehouse_ratelimit_store_requests_total"
    assert gateways[0].metric(calls) - before.total(calls) == 3 + 3 + 2, "one for what is enforced, another where there is more to ask"


def test_what_is_left_in_redis(gateways, redis):
    """Keys in the tenant's slot, without the client's bytes, which go away by themselves once they would be full."""
    statuses(gateways[0], 1, "127.0.1.6")
    keys = redis.keys()
    keys.remove("gatehouse:gateways")
    keys = [key for key in keys if key != "gatehouse:probe"]  # of the last login, for a second
    assert keys and all(key.startswith(("gatehouse:{shop}:", "gatehouse:{other}:")) for key in keys), keys
    for key in keys:
        remaining = int(redis.command("PTTL", key)[1:])
        assert 0 < remaining < 2 * 5 * 3600 * 1000, (key, remaining)


def test_flushed_scripts_are_sent_again(gateways, redis):
    assert redis.command("SCRIPT", "FLUSH") == b"+OK\r\n"
    assert statuses(gateways[0], 7, "127.0.1.7") == [200] * 5 + [429] * 2
    assert gateways[0].metric("gatehouse_ratelimit_store_up") == 1


def test_a_flushed_database_is_a_full_bucket(gateways, redis):
    statuses(gateways[0], 6, "127.0.1.8")
    redis.command("FLUSHALL")
    assert statuses(gateways[0], 1, "127.0.1.8") == [200]


def test_a_value_of_another_type_under_a_key_does_no_harm(gateways, redis):
    """The gateway answers by on_store_failure; it neither hangs nor fails."""
    statuses(gateways[0], 1, "127.0.1.9")
    for key in redis.keys():
        redis.command("SET", key, "nonsense")
    assert statuses(gateways[0], 1, "127.0.1.9")[0] in (200, 429)
    redis.command("FLUSHALL")


def test_connections_that_redis_drops_are_made_again(gateways, redis):
    statuses(gateways[0], 1, "127.0.1.10")
    redis.command("CLIENT", "KILL", "TYPE", "normal")
    assert set(statuses(gateways[0], 2, "127.0.1.10")) == {200}
    gateways[0].wait_metric(1, "gatehouse_ratelimit_store_up")
    poll(lambda: 429 in statuses(gateways[0], 6, "127.0.1.11") and statuses(gateways[1], 1, "127.0.1.11") == [429], "limits in Redis again")


def test_pipelined_over_few_connections(gateways, redis):
    """A burst of requests does not become a burst of connections."""
    clients = redis.command("CLIENT", "LIST").count(b"\nid=") + 1
    assert clients <= 2 * 4 + 2, "at most a few a gateway: one a worker and one for the process"


@pytest.fixture(scope="module")
def secured(authority):
    with RedisServer(authority=authority, user="gatehouse", password="s3cr3t-of-redis") as server:
        yield server


def secured_config(server, authority, tmp_path, password="s3cr3t-of-redis", ca=True, **changes):
    file = tmp_path / "password"
    file.write_text(password + "\n")
    redis = {"url": f"rediss://localhost:{server.tls_port}/0", "username": "gatehouse", "password_file": str(file)}
    if ca:
        redis["ca_file"] = authority.certificate
    return {"redis": {**redis, **changes}}


def test_tls_and_acl(secured, authority, upstream, tmp_path):
    with Gateway({"shop": limited("shop", upstream)}, secured_config(secured, authority, tmp_path)) as one, \
            Gateway({"shop": limited("shop", upstream)}, secured_config(secured, authority, tmp_path)) as two:
        for gateway in (one, two):
            gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
        assert statuses(one, 3, "127.0.1.1") + statuses(two, 3, "127.0.1.1") == [200] * 5 + [429]
        assert "s3cr3t-of-redis" not in one.log


@pytest.mark.parametrize("changes", [{"password": "wrong"}, {"ca": False}, {"url": "plain"}])
def test_a_store_that_cannot_be_trusted_or_entered_is_down(secured, authority, upstream, tmp_path, changes):
    if changes.get("url"):
        changes = {"url": f"redis://127.0.0.1:{secured.port}/0", "username": None, "password_file": None, "ca": False}
    config = secured_config(secured, authority, tmp_path, **changes)
    config["redis"] = {key: value for key, value in config["redis"].items() if value is not None}
    with Gateway({"shop": limited("shop", upstream)}, config) as gateway:
        assert statuses(gateway, 1, "127.0.1.1") == [200], "the limit is kept locally"
        assert gateway.metric("gatehouse_ratelimit_store_up") == 0
        assert statuses(gateway, 5, "127.0.1.1")[-1] == 429
        assert "wrong" not in gateway.log


def test_a_reload_without_redis_takes_its_series_away(redis, upstream):
    config = {"redis": {"url": f"redis://127.0.0.1:{redis.port}/6"}}
    families = {"gatehouse_ratelimit_store_up", "gatehouse_ratelimit_gateways", "gatehouse_ratelimit_store_requests_total",
                "gatehouse_ratelimit_store_duration_seconds_count"}
    with Gateway({"shop": limited("shop", upstream)}, config) as gateway:
        for source in ("127.0.1.91", "127.0.1.92"):
            gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
            assert gateway.metric("gatehouse_ratelimit_store_requests_total", result="ok") == 0, "what comes back is counted anew"
            assert statuses(gateway, 1, source) == [200]
            gateway.wait_metric(1, "gatehouse_ratelimit_store_requests_total", result="ok")
            assert families <= gateway.metrics().names()
            gateway.write_config(redis=None)
            gateway.signal(signal.SIGHUP)
            poll(lambda: not families & gateway.metrics().names(), "the series to go")
            gateway.write_config(**config)
            gateway.signal(signal.SIGHUP)


def test_another_database(redis, upstream):
    with Gateway({"shop": limited("shop", upstream)}, {"redis": {"url": f"redis://127.0.0.1:{redis.port}/7"}}) as gateway:
        gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
        statuses(gateway, 1, "127.0.1.90")
        assert b"db7:keys=" in redis.command("INFO", "keyspace")


def test_a_gateway_that_stops_leaves_the_others(redis, upstream):
    config = {"redis": {"url": f"redis://127.0.0.1:{redis.port}/5"}}

    def known():
        redis_reply = redis.command("EVAL", "redis.call('SELECT', 5) return redis.call('ZCARD', 'gatehouse:gateways')", "0")
        return int(redis_reply[1:])
    with Gateway({"shop": limited("shop", upstream)}, config) as stays:
        with Gateway({"shop": limited("shop", upstream)}, config) as goes:
            for gateway in (stays, goes):
                gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
            poll(lambda: known() == 2, "both to say that they live")
            goes.stop()
            assert known() == 1


def test_a_silent_store_does_not_delay_the_end(upstream):
    with RedisServer() as server, Gateway({"shop": limited("shop", upstream)}, {"redis": {"url": f"redis://127.0.0.1:{server.port}"}}) as gateway:
        gateway.wait_metric(1, "gatehouse_ratelimit_store_up")
        server.pause()
        try:
            begin = time.monotonic()
            gateway.stop()
            assert time.monotonic() - begin < 2
        finally:
            server.resume()
