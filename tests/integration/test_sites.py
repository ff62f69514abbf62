"""Sites: the gateway's own first, the next one when it has no healthy endpoint, and back."""
import json
from collections import Counter

import pytest

from harness.gateway import Gateway, tenant
from harness.polling import poll
from harness.upstream import Upstream

QUICK = {"path": "/healthz", "interval": "100ms", "timeout": "200ms", "unhealthy_after": 2, "healthy_after": 2}


@pytest.fixture
def servers():
    running = {name: Upstream(name=name, health="/healthz") for name in ("far", "near", "near2", "farther")}
    yield running
    for server in running.values():
        server.close()


def sited(servers, health=QUICK, **more):
    """The gateway's own site is named second: its place in the list does not matter, that of the others does."""
    sites = [{"site": "far", "endpoints": [servers["far"].address]},
             {"site": "here", "endpoints": [servers["near"].address, servers["near2"].address]},
             {"site": "farther", "endpoints": [servers["farther"].address]}]
    web = {"sites": sites, "health": health, **more}
    return {"shop": tenant(services={"web": web})}


def served_by(gateway, count=8):
    found = Counter()
    for _ in range(count):
        response = gateway.request()
        assert response.status == 200, response
        found[json.loads(response.body)["upstream"]] += 1
    return set(found)


def active(gateway):
    return {labels["site"] for labels in gateway.metrics().labels("gatehouse_site_active")
            if gateway.metric("gatehouse_site_active", tenant="shop", service="web", site=labels["site"])}


def test_own_site_first_then_in_order_and_back(servers):
    with Gateway(sited(servers)) as gateway:
        def settled(server, value):
            gateway.wait_metric(value, "gatehouse_endpoint_healthy", endpoint=servers[server].address)

        for server in servers:
            settled(server, 1)
        assert served_by(gateway) == {"near", "near2"}
        assert active(gateway) == {"here"}

        servers["near"].healthy = False
        settled("near", 0)
        assert served_by(gateway) == {"near2"}, "one healthy endpoint is enough for a site"

        servers["near2"].healthy = False
        settled("near2", 0)
        assert served_by(gateway) == {"far"}
        poll(lambda: active(gateway) == {"far"}, "the active site to be told")

        servers["far"].healthy = False
        settled("far", 0)
        assert served_by(gateway) == {"farther"}

        servers["far"].healthy = True
        settled("far", 1)
        assert served_by(gateway) == {"far"}

        servers["near2"].healthy = True
        settled("near2", 1)
        assert served_by(gateway) == {"near2"}
        poll(lambda: active(gateway) == {"here"}, "the active site to be told")


def test_killed_site_is_left_without_a_failed_request(servers):
    """Connections are refused before the checks have noticed: with as many attempts as endpoints the last goes to the next site."""
    with Gateway(sited(servers, retry={"attempts": 3})) as gateway:
        for server in servers.values():
            gateway.wait_metric(1, "gatehouse_endpoint_healthy", endpoint=server.address)
        servers["near"].stop_listening()
        servers["near2"].stop_listening()
        statuses = [gateway.request().status for _ in range(30)]
        assert set(statuses) <= {200}, Counter(statuses)
        gateway.wait_metric(0, "gatehouse_endpoint_healthy", endpoint=servers["near2"].address)
        assert served_by(gateway) == {"far"}
        servers["near"].open()
        gateway.wait_metric(1, "gatehouse_endpoint_healthy", endpoint=servers["near"].address)
        assert served_by(gateway) == {"near"}


def test_without_checks_a_refused_connection_goes_to_the_next_site(servers):
    single = {"web": {"sites": [{"site": "here", "endpoints": [servers["near"].address]}, {"site": "far", "endpoints": [servers["far"].address]}]}}
    with Gateway({"shop": tenant(services=single)}) as gateway:
        assert served_by(gateway, 2) == {"near"}
        servers["near"].stop_listening()
        assert served_by(gateway) == {"far"}


def test_own_site_is_unknown_to_the_service(servers):
    with Gateway(sited(servers), {"site": "elsewhere"}) as gateway:
        assert served_by(gateway) == {"far"}, "the file's order"


def test_record_and_metrics_name_the_site(servers):
    with Gateway(sited(servers), {"site": "far"}) as gateway:
        gateway.request("/where")
        record = gateway.access_record(url__path="/where")
        assert record["labels.site"] == "far" and record["destination.address"] == servers["far"].address
        gateway.wait_metric(1, "gatehouse_requests_total", tenant="shop", route="/", service="web", site="far", code="2xx")
