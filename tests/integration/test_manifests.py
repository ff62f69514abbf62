"""deploy/kubernetes: the manifests agree with each other, with the product and with its image. No API server is needed;
tests/manifests/apply.py, which `./dev test --full` runs, asks a real one."""
import copy
import os
import re
import shutil
import sys

import pytest
import yaml

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "manifests"))

import manifests as rules  # noqa: E402
from harness.configmap import Volume  # noqa: E402
from harness.gateway import Gateway, merged, run_command, to_yaml  # noqa: E402
from harness.ports import free_port  # noqa: E402

PLATFORM = "/etc/gatehouse/platform"
TENANTS = "/etc/gatehouse/tenants"


@pytest.fixture
def manifests():
    return rules.Manifests()


@pytest.fixture
def mounted(manifests, tmp_path):
    """The ConfigMaps as the pod sees them: {path in the pod: path here}."""
    folders = {path: str(tmp_path) + path for path in manifests.mounts()}
    for path, files in manifests.mounts().items():
        if files:
            Volume(folders[path], files)
    return folders


def test_they_agree(manifests):
    assert rules.problems(manifests) == []


def test_check_accepts_the_configuration(mounted):
    """Two warnings are expected: what is mounted from Secrets is not here, and there is no Redis."""
    done = run_command("check", "-v", "--config", mounted[PLATFORM] + "/gateway.yaml")
    assert done.returncode == 0 and "error" not in done.stdout, done
    found = [re.sub(r"^.*?: warning: ", "", line) for line in done.stdout.splitlines() if ": warning: " in line]
    assert len(found) == 2 and "/etc/gatehouse/certificates" in found[0] and "without 'redis'" in found[1], found
    assert "1 tenants" in done.stdout


def switched_on(text, *hints):
    """The text without the comment sign before lines that begin with one of `hints`."""
    for hint in hints:
        text, count = re.subn(rf"^(\s*)# ({re.escape(hint)})", r"\1\2", text, flags=re.MULTILINE)
        assert count == 1, hint
    return text


def test_the_commented_hints_are_valid(manifests, mounted):
    """A hint with a misspelt key would be worse than none."""
    text = switched_on(manifests.one("ConfigMap", "gatehouse-platform")["data"]["gateway.yaml"], "redis:", "trusted_proxies:")
    secrets = os.path.join(os.path.dirname(mounted[PLATFORM]), "secrets")
    os.makedirs(secrets)
    with open(os.path.join(secrets, "redis-password"), "w", encoding="ascii") as file:
        file.write("secret\n")
    Volume(mounted[PLATFORM], {"gateway.yaml": text.replace("/etc/gatehouse/secrets", secrets)})
    tenant = manifests.one("ConfigMap", "gatehouse-tenants")["data"]["shop.yaml"]
    Volume(mounted[TENANTS], {"shop.yaml": switched_on(tenant, "exclusions:", "  - {rule:")})
    done = run_command("check", "--config", mounted[PLATFORM] + "/gateway.yaml")
    assert done.returncode == 0, done.stdout
    # The certificate of the other hint is where daemonset.yaml mounts the Secret.
    (secret,) = next(v for v in manifests.pod["volumes"] if v["name"] == "certificates")["projected"]["sources"]
    for item in secret["secret"]["items"]:
        assert f"/etc/gatehouse/certificates/{item['path']}" in tenant


def test_the_probes_are_answered(manifests, mounted, upstream):
    """The gateway, run with this configuration but for ports and folders, answers what the kubelet and Prometheus ask."""
    gateway = Gateway({}, start=False)
    metrics_port = free_port()
    with open(mounted[PLATFORM] + "/gateway.yaml", encoding="utf-8") as file:
        config = yaml.safe_load(file)
    config = merged(config, {
        "listeners": gateway.config["listeners"], "admin": gateway.config["admin"],
        "metrics": {"address": f"127.0.0.1:{metrics_port}"}, "storage": gateway.config["storage"],
        "timeouts": {"shutdown_delay": "10ms"}})
    shutil.rmtree(mounted[PLATFORM])
    Volume(mounted[PLATFORM], {"gateway.yaml": to_yaml(config)})
    text = manifests.mounts()[TENANTS]["shop.yaml"].replace("10.96.0.80:80", upstream.address).replace(
        "health: {path: /healthz}", "health: {path: /}")
    Volume(mounted[TENANTS], {"shop.yaml": text})
    gateway.configuration = mounted[PLATFORM] + "/gateway.yaml"
    with gateway:
        for name in rules.PROBES:
            path = manifests.container[name]["httpGet"]["path"]
            assert gateway.admin(path, port=metrics_port).status == 200, name
        for path in rules.PRODUCT_PATHS:
            assert gateway.admin(path, port=metrics_port).status == 200, path
        assert gateway.admin("/status", port=metrics_port).status == 404, "the network does not see it"
        assert gateway.request("/", host="shop.example.de", tls=True).status == 200
        # Both logs are on standard output, with the WAF's event.
        assert gateway.request("/?id=1'%20OR%20'1'='1'%20--%20", host="shop.example.de", tls=True).status == 403
        gateway.wait_log('"url.domain":"shop.example.de"')
        gateway.wait_log('"verdict":"blocked"')


def broken(change):
    """The problems of manifests to which `change` was done."""
    changed = copy.deepcopy(rules.Manifests())
    change(changed)
    return {text.split(":")[0] for text in rules.problems(changed)}


def set_platform(manifests, old, new):
    data = manifests.one("ConfigMap", "gatehouse-platform")["data"]
    assert old in data["gateway.yaml"]
    data["gateway.yaml"] = data["gateway.yaml"].replace(old, new)


BREAKAGES = {
    "a file that is not listed": ("kustomization", lambda m: m.kustomization["resources"].remove("service.yaml")),
    "an image nobody names": ("kustomization", lambda m: m.container.update(image="other")),
    "another namespace": ("namespaces", lambda m: m.one("Service")["metadata"].update(namespace="default")),
    "a selector that selects nothing": ("references", lambda m: m.one("Service")["spec"].update(selector={"app": "x"})),
    "a port that is not there": ("references", lambda m: m.one("Service")["spec"]["ports"][0].update(targetPort="web")),
    "a volume that is not mounted": ("references", lambda m: m.container["volumeMounts"].pop(3)),
    "an account that is not there": ("references", lambda m: m.pod.update(serviceAccountName="default")),
    "a class that is not there": ("references", lambda m: m.pod.update(priorityClassName="high")),
    "another port in gateway.yaml": ("listeners", lambda m: set_platform(m, "[::]:8443", "[::]:9443")),
    "a privileged port": ("listeners", lambda m: m.ports["http"].update(containerPort=80)),
    "a listener on loopback": ("listeners", lambda m: set_platform(m, "[::]:8443", "127.0.0.1:8443")),
    "admin for everybody": ("listeners", lambda m: set_platform(m, "127.0.0.1:9901", "[::]:9901")),
    "another port of the node": ("listeners", lambda m: m.ports["https"].update(hostPort=8443)),
    "a probe's path": ("probes", lambda m: m.container["livenessProbe"]["httpGet"].update(path="/livez")),
    "a probe of the wrong listener": ("probes", lambda m: m.container["readinessProbe"]["httpGet"].update(port="http")),
    "a scrape's path": ("probes", lambda m: m.one("PodMonitor")["spec"]["podMetricsEndpoints"][0].update(path="/")),
    "a grace period that cuts the drain": ("drain", lambda m: m.pod.update(terminationGracePeriodSeconds=75)),
    "a drain longer than the grace period": ("drain", lambda m: set_platform(m, "shutdown: 60s", "shutdown: 2m")),
    "a delay that nobody notices": ("drain", lambda m: set_platform(m, "shutdown_delay: 15s", "shutdown_delay: 2s")),
    "a preStop hook": ("drain", lambda m: m.container.update(lifecycle={"preStop": {"exec": {"command": ["sleep", "5"]}}})),
    "another user": ("image", lambda m: m.pod["securityContext"].update(runAsUser=1000)),
    "Secrets of another group": ("image", lambda m: m.pod["securityContext"].update(fsGroup=1000)),
    "another command": ("image", lambda m: m.container.update(command=["/bin/sh"])),
    "root": ("hardening", lambda m: m.pod["securityContext"].update(runAsNonRoot=False)),
    "no seccomp": ("hardening", lambda m: m.pod["securityContext"].pop("seccompProfile")),
    "escalation": ("hardening", lambda m: m.container["securityContext"].pop("allowPrivilegeEscalation")),
    "a root that can be written": ("hardening", lambda m: m.container["securityContext"].pop("readOnlyRootFilesystem")),
    "a capability": ("hardening", lambda m: m.container["securityContext"]["capabilities"].update(add=["NET_BIND_SERVICE"])),
    "hostNetwork": ("hardening", lambda m: m.pod.update(hostNetwork=True)),
    "a folder of the node": ("hardening", lambda m: m.pod["volumes"][-1].update(hostPath={"path": "/"})),
    "a token": ("hardening", lambda m: m.pod.pop("automountServiceAccountToken")),
    "a subPath": ("files", lambda m: m.container["volumeMounts"][0].update(subPath="gateway.yaml")),
    "a ConfigMap that can be written": ("files", lambda m: m.container["volumeMounts"][0].pop("readOnly")),
    "a file that is not mounted": ("files", lambda m: m.container["args"].__setitem__(2, "/etc/gatehouse/gateway.yaml")),
    "tenants that are not mounted": ("files", lambda m: set_platform(m, "../tenants/", "tenants/")),
    "a tenant that is not read": ("files", lambda m: m.one("ConfigMap", "gatehouse-tenants")["data"].update({"x.yml": ""})),
    "storage on the read-only root": ("files", lambda m: set_platform(m, "/var/lib/gatehouse", "/srv/state")),
    "certificates elsewhere": ("files", lambda m: set_platform(m, "[/etc/gatehouse/certificates]", "[/etc/ssl/tenants]")),
    "a log file": ("files", lambda m: set_platform(m, 'audit_log: {path: "-"}', "audit_log: {path: /tmp/audit.log}")),
    "no limit on memory": ("resources", lambda m: m.container["resources"].update(limits={})),
    "a limit on processors": ("resources", lambda m: m.container["resources"]["limits"].update(cpu="2")),
    "bodies that fill the memory": ("resources", lambda m: set_platform(m, "256MiB", "600MiB")),
    "no requests": ("resources", lambda m: m.container["resources"].update(requests={})),
    "a surge": ("rollout", lambda m: m.daemonset["spec"]["updateStrategy"]["rollingUpdate"].update(maxSurge=1)),
    "no pause": ("rollout", lambda m: m.daemonset["spec"].pop("minReadySeconds")),
}


@pytest.mark.parametrize("name", BREAKAGES)
def test_each_mistake_is_found(name):
    check, change = BREAKAGES[name]
    assert check in broken(change)


def test_every_check_has_a_mistake():
    assert {check.__name__ for check in rules.CHECKS} == {check for check, _ in BREAKAGES.values()}
