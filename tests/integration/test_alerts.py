"""The alerts that come with the gateway name metrics and labels that it has."""
import os
import re

import yaml

from harness.gateway import Gateway, tenant
from harness.redis_server import RedisServer
from harness.upstream import Upstream

ALERTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "deploy", "prometheus", "alerts.yaml")


def rules():
    with open(ALERTS, encoding="utf-8") as file:
        return [rule for group in yaml.safe_load(file)["groups"] for rule in group["rules"]]


def test_alerts_name_metrics_that_exist():
    with Upstream(health="/healthz") as upstream, RedisServer() as redis:
        services = {"web": {"sites": [{"site": "here", "endpoints": [upstream.address]}], "health": {"path": "/healthz"}}}
        shop = tenant(hosts=[{"name": "shop.test", "tls": {"self_signed": True}}], services=services, waf={"mode": "block"})
        with Gateway({"shop": shop}, {"redis": {"url": f"redis://127.0.0.1:{redis.port}/0"}}) as gateway:
            assert gateway.request(tls=True).status == 200
            gateway.wait_metric(1, "gatehouse_endpoint_healthy")
            metrics = gateway.admin("/metrics").text
    known = set(re.findall(r"^# TYPE (\S+)", metrics, re.MULTILINE))
    for rule in rules():
        named = re.findall(r"\bgatehouse_\w+", rule["expr"])
        assert named and set(named) <= known, rule["alert"]


def test_alerts_are_described():
    manual = os.path.join(os.path.dirname(ALERTS), "..", "..", "docs", "operations.md")
    with open(manual, encoding="utf-8") as file:
        text = file.read()
    for rule in rules():
        assert rule["annotations"]["summary"] and rule["labels"]["severity"] in ("warning", "critical")
        assert f"`{rule['alert']}`" in text, rule["alert"]
