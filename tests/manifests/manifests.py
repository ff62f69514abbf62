"""What must hold between the manifests in deploy/kubernetes, the product and its image, without an API server.

tests/integration/test_manifests.py calls problems(); tests/manifests/apply.py applies the same files to a real API server.
"""
import os
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
CLUSTER_WIDE = {"Namespace", "PriorityClass"}
OPTIONAL = {"podmonitor.yaml"}               # its kind exists only where the Prometheus operator does
PRODUCT_PATHS = {"/healthz", "/readyz", "/metrics"}   # of the metrics listener
UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
SIZES = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def seconds(text):
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * UNITS[unit]


def size_bytes(text):
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]*)", str(text)).groups()
    return int(number) * SIZES[unit]


def port_of(address):
    return int(address.rpartition(":")[2])


class Manifests:
    """The objects of a folder, and what the checks often ask for."""

    def __init__(self, folder=FOLDER, dockerfile=ROOT / "Dockerfile"):
        self.files = {file.name: list(yaml.safe_load_all(file.read_text(encoding="utf-8"))) for file in sorted(Path(folder).glob("*.yaml"))}
        self.kustomization = self.files.pop("kustomization.yaml")[0]
        self.dockerfile = Path(dockerfile).read_text(encoding="utf-8")

    @property
    def objects(self):
        return [item for documents in self.files.values() for item in documents]

    def all(self, kind):
        return [item for item in self.objects if item["kind"] == kind]

    def one(self, kind, name=None):
        found = [item for item in self.all(kind) if name in (None, item["metadata"]["name"])]
        if len(found) != 1:
            raise LookupError(f"{len(found)} of {kind} {name or ''}")
        return found[0]

    @property
    def daemonset(self):
        return self.one("DaemonSet")

    @property
    def template(self):
        return self.daemonset["spec"]["template"]

    @property
    def pod(self):
        return self.template["spec"]

    @property
    def container(self):
        (container,) = self.pod["containers"]
        return container

    @property
    def ports(self):
        return {port["name"]: port for port in self.container["ports"]}

    @property
    def platform(self):
        """gateway.yaml, as a dictionary."""
        return yaml.safe_load(self.one("ConfigMap", "gatehouse-platform")["data"]["gateway.yaml"])

    def mounts(self):
        """{mount path: {file: text}, or None for what is not made of ConfigMaps}"""
        volumes = {volume["name"]: volume for volume in self.pod["volumes"]}
        result = {}
        for mount in self.container["volumeMounts"]:
            volume = volumes[mount["name"]]
            sources = [volume] if "configMap" in volume else volume.get("projected", {}).get("sources", [])
            names = [source["configMap"]["name"] for source in sources if "configMap" in source]
            data = [self.one("ConfigMap", name)["data"] for name in names]
            result[mount["mountPath"]] = {key: text for part in data for key, text in part.items()} if names else None
        return result


def problems(manifests):
    """Every violation, one line each."""
    return [f"{check.__name__}: {text}" for check in CHECKS for text in check(manifests)]


def kustomization(m):
    """Each file is applied, or left out on purpose."""
    listed = m.kustomization["resources"]
    for name in m.files:
        if name not in listed and name not in OPTIONAL:
            yield f"{name} is not listed"
    for name in listed:
        if name not in m.files:
            yield f"{name} does not exist"
    if m.container["image"].split(":")[0] not in [image["name"] for image in m.kustomization["images"]]:
        yield f"says nothing about the image {m.container['image']}"


def namespaces(m):
    namespace = m.one("Namespace")["metadata"]["name"]
    for item in m.objects:
        wanted = None if item["kind"] in CLUSTER_WIDE else namespace
        if item["metadata"].get("namespace") != wanted:
            yield f"{item['kind']} {item['metadata']['name']} is in {item['metadata'].get('namespace')}"


def references(m):
    """Names of ports, volumes, accounts and classes, and labels, that one object knows another by."""
    labels = m.template["metadata"]["labels"]
    policy, service = m.one("NetworkPolicy")["spec"], m.one("Service")["spec"]
    monitor = m.one("PodMonitor")["spec"]
    for who, selector in (("DaemonSet", m.daemonset["spec"]["selector"]["matchLabels"]), ("Service", service["selector"]),
                          ("NetworkPolicy", policy["podSelector"]["matchLabels"]), ("PodMonitor", monitor["selector"]["matchLabels"])):
        if not selector or not selector.items() <= labels.items():
            yield f"{who} does not select the pods"
    named = [("Service", port["targetPort"]) for port in service["ports"]]
    named += [("NetworkPolicy", port["port"]) for rule in policy["ingress"] for port in rule["ports"]]
    named += [("PodMonitor", endpoint["port"]) for endpoint in monitor["podMetricsEndpoints"]]
    named += [(name, m.container[name]["httpGet"]["port"]) for name in PROBES]
    for who, port in named:
        if port not in m.ports:
            yield f"{who} names the port {port}, which the container has not"
    volumes = {volume["name"] for volume in m.pod["volumes"]}
    mounted = {mount["name"] for mount in m.container["volumeMounts"]}
    if volumes != mounted:
        yield f"volumes and mounts differ: {sorted(volumes ^ mounted)}"
    if m.pod["serviceAccountName"] != m.one("ServiceAccount")["metadata"]["name"]:
        yield "no such ServiceAccount"
    if m.pod["priorityClassName"] != m.one("PriorityClass")["metadata"]["name"]:
        yield "no such PriorityClass"
    for path, files in m.mounts().items():
        if files == {}:
            yield f"nothing is mounted at {path}"


def listeners(m):
    """The container's ports are those of gateway.yaml, and need no privilege."""
    wanted = {item["protocol"]: port_of(item["address"]) for item in m.platform["listeners"]}
    wanted["metrics"] = port_of(m.platform["metrics"]["address"])
    declared = {name: port["containerPort"] for name, port in m.ports.items()}
    if declared != wanted:
        yield f"the container declares {declared}, gateway.yaml has {wanted}"
    for name, number in declared.items():
        if number < 1024:
            yield f"port {name} needs a privilege"
    for item in [*m.platform["listeners"], m.platform["metrics"]]:
        if not item["address"].startswith("[::]:"):
            yield f"{item['address']} is not reached from outside of the pod"
    if not m.platform["admin"]["address"].startswith("127.0.0.1:"):
        yield "admin is reached from outside of the pod"
    host_ports = {name: port.get("hostPort") for name, port in m.ports.items()}
    if host_ports != {"http": 80, "https": 443, "metrics": None}:
        yield f"ports of the node: {host_ports}"


PROBES = {"startupProbe": "/healthz", "readinessProbe": "/readyz", "livenessProbe": "/healthz"}


def probes(m):
    for name, wanted in PROBES.items():
        get = m.container[name]["httpGet"]
        if get["port"] != "metrics":
            yield f"{name} asks another listener than metrics"
        if get["path"] != wanted or get["path"] not in PRODUCT_PATHS:
            yield f"{name} asks {get['path']}, not {wanted}"
    for endpoint in m.one("PodMonitor")["spec"]["podMetricsEndpoints"]:
        if endpoint["path"] != "/metrics":
            yield f"PodMonitor scrapes {endpoint['path']}"


def drain(m):
    """SIGKILL comes after the drain, and load balancers see the 503 before the listeners close."""
    timeouts = m.platform["timeouts"]
    delay, shutdown = seconds(timeouts["shutdown_delay"]), seconds(timeouts["shutdown"])
    grace = m.pod["terminationGracePeriodSeconds"]
    if "preStop" in m.container.get("lifecycle", {}):
        yield "a preStop hook takes its time from the grace period while /readyz says 200"
    if grace <= delay + shutdown:
        yield f"grace of {grace} s, but the drain takes up to {delay + shutdown:g} s"
    readiness = m.container["readinessProbe"]
    noticed = readiness["periodSeconds"] * readiness["failureThreshold"]
    if delay <= noticed:
        yield f"shutdown_delay of {delay:g} s, but a load balancer notices after {noticed} s"


def image(m):
    """The pod runs as the image's user; Secrets are readable to it."""
    users = re.findall(r"^USER (\d+):(\d+)$", m.dockerfile, re.MULTILINE)
    context = m.pod["securityContext"]
    wanted = (str(context["runAsUser"]), str(context["runAsGroup"]))
    if users[-1:] != [wanted]:
        yield f"the pod runs as {wanted}, the image as {users[-1:]}"
    if context["fsGroup"] != context["runAsGroup"]:
        yield "fsGroup is not the user's group"
    entry = re.findall(r'^ENTRYPOINT (.*)$', m.dockerfile, re.MULTILINE)
    if entry != ['["/usr/bin/gatehouse"]'] or "command" in m.container:
        yield "args are not the gateway's"


def hardening(m):
    """The restricted profile of the Pod Security Standards but for hostPort, and a root that cannot be written."""
    pod, container = m.pod["securityContext"], m.container["securityContext"]
    if pod.get("runAsNonRoot") is not True or pod.get("runAsUser", 0) == 0:
        yield "may run as root"
    if pod.get("seccompProfile") != {"type": "RuntimeDefault"}:
        yield "no seccomp profile"
    if container.get("allowPrivilegeEscalation") is not False or container.get("privileged"):
        yield "may gain privileges"
    if container.get("readOnlyRootFilesystem") is not True:
        yield "the root can be written"
    if container.get("capabilities") != {"drop": ["ALL"]}:
        yield "has capabilities"
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if m.pod.get(name):
            yield name
    for volume in m.pod["volumes"]:
        if "hostPath" in volume:
            yield f"volume {volume['name']} is of the node"
    for who in (m.pod, m.one("ServiceAccount")):
        if who.get("automountServiceAccountToken") is not False:
            yield "has a token of the API server"


def files(m):
    """What gateway.yaml and the arguments name is mounted, whole and as readable or writable as it must be."""
    mounts = {mount["mountPath"]: mount for mount in m.container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in m.pod["volumes"]}
    for path, mount in mounts.items():
        if "subPath" in mount or "subPathExpr" in mount:
            yield f"{path}: changes do not arrive through a subPath"
        if ("emptyDir" in volumes[mount["name"]]) == bool(mount.get("readOnly")):
            yield f"{path}: readOnly is {mount.get('readOnly')}"
    command, option, config = m.container["args"]
    contents = m.mounts()
    folder, name = os.path.split(config)
    if (command, option) != ("run", "--config") or name not in (contents.get(folder) or {}):
        yield f"no mounted file at {config}"
    tenants = os.path.normpath(os.path.join(folder, m.platform["tenants"]))
    if not contents.get(tenants):
        yield f"no tenants at {tenants}"
    for key in contents.get(tenants) or {}:
        if not re.fullmatch(r"[\w-][\w.-]*\.yaml", key):
            yield f"{key} is no tenant's file"
    for path in m.platform["policy"]["files"]:
        if path not in mounts:
            yield f"policy.files: {path} is not mounted"
    storage = m.platform["storage"]["file"]
    if storage not in mounts or mounts[storage].get("readOnly"):
        yield f"storage: {storage} cannot be written"
    for log in ("access_log", "audit_log"):
        if m.platform[log]["path"] != "-":
            yield f"{log} goes to a file that nobody reads or rotates"


def resources(m):
    """No more memory for bodies than half of the limit; a limit on memory, none on processors."""
    limits = m.container["resources"]["limits"]
    if "memory" not in limits or "cpu" in limits:
        yield f"limits: {limits}"
    elif size_bytes(limits["memory"]) < 2 * size_bytes(m.platform["limits"]["buffered_bytes"]):
        yield "buffered_bytes is more than half of the memory limit"
    if not {"cpu", "memory"} <= m.container["resources"]["requests"].keys():
        yield "requests nothing"


def rollout(m):
    strategy = m.daemonset["spec"]["updateStrategy"]
    if strategy["type"] != "RollingUpdate" or strategy["rollingUpdate"] != {"maxUnavailable": 1}:
        yield f"updateStrategy {strategy}: with hostPort there is no surge, and more than one node at once is too many"
    if m.daemonset["spec"].get("minReadySeconds", 0) < 1:
        yield "a pod that dies at once does not stop the roll-out"
    if m.all("PodDisruptionBudget"):
        yield "a PodDisruptionBudget has no effect on a DaemonSet: kubectl drain leaves its pods alone"


CHECKS = [kustomization, namespaces, references, listeners, probes, drain, image, hardening, files, resources, rollout]
