#!/usr/bin/env python3
"""Applies deploy/kubernetes to a real API server: the server's schemas are asked field by field, every object is created
and applied on the server's side, and each field must read back as it was sent. Called by `./dev test --full`.

    apply.py [--kube-apiserver FILE] [--etcd FILE]      or KUBE_APISERVER and ETCD in the environment

Without them nothing is checked, which is said, and the exit code is 0: no package of Debian's has a kube-apiserver.
Both run on loopback, in a folder of their own that is removed.
"""
import argparse
import contextlib
import copy
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

sys.dont_write_bytecode = True
import yaml  # noqa: E402
from manifests import Manifests, size_bytes  # noqa: E402

CRD = Path(__file__).with_name("podmonitor-crd.yaml")
TOKEN = "manifests-test"   # noqa: S105  of a server that lives for a minute on loopback


class Failure(Exception):
    """The server did not start, or an object was not taken."""


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class ApiServer:
    """etcd and kube-apiserver, ended by the ids that were started."""

    def __init__(self, kube_apiserver, etcd):
        self.programs = kube_apiserver, etcd
        self.folder = Path(tempfile.mkdtemp(prefix="gatehouse-manifests-"))
        self.processes = []

    def __enter__(self):
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _spawn(self, name, *command):
        with open(self.folder / f"{name}.log", "wb") as log:
            self.processes.append(subprocess.Popen([*map(str, command)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder))

    def _start(self):
        kube_apiserver, etcd = self.programs
        clients, peers, port = free_ports(3)
        store = f"http://127.0.0.1:{clients}"
        self._spawn("etcd", etcd, "--data-dir", "etcd", "--listen-client-urls", store, "--advertise-client-urls", store,
                    "--listen-peer-urls", f"http://127.0.0.1:{peers}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peers}",
                    "--initial-cluster", f"default=http://127.0.0.1:{peers}")
        subprocess.run(["openssl", "genrsa", "-out", "sa.key", "2048"], cwd=self.folder, check=True, capture_output=True)
        (self.folder / "tokens.csv").write_text(f'{TOKEN},admin,admin,"system:masters"\n')
        # No controllers run: nobody makes the ServiceAccounts that this admission plug-in waits for.
        self._spawn("api", kube_apiserver, "--etcd-servers", store, "--bind-address", "127.0.0.1", "--advertise-address", "127.0.0.1",
                    "--secure-port", port, "--cert-dir", "certs", "--service-account-key-file", "sa.key",
                    "--service-account-signing-key-file", "sa.key", "--service-account-issuer", "https://kubernetes.default",
                    "--service-cluster-ip-range", "10.96.0.0/24", "--token-auth-file", "tokens.csv", "--authorization-mode", "RBAC",
                    "--disable-admission-plugins", "ServiceAccount")
        self.url = f"https://127.0.0.1:{port}"
        certificate = self.folder / "certs" / "apiserver.crt"
        end = time.monotonic() + 120
        while time.monotonic() < end:
            if self.processes[-1].poll() is not None:
                raise Failure("kube-apiserver ended:\n" + (self.folder / "api.log").read_text(errors="replace")[-3000:])
            try:
                if certificate.exists():
                    self.tls = ssl.create_default_context(cafile=str(certificate))
                    self.tls.check_hostname = False
                    if self.ask("GET", "/readyz")[0] == 200:
                        return
            except (OSError, ssl.SSLError):
                pass
            time.sleep(0.3)
        raise Failure("kube-apiserver is not ready after 120 s")

    def ask(self, method, path, body=None, content="application/json"):
        """(status, answer, warnings)"""
        request = urllib.request.Request(self.url + path, method=method, headers={"Authorization": f"Bearer {TOKEN}"},
                                         data=json.dumps(body).encode() if body is not None else None)
        if body is not None:
            request.add_header("Content-Type", content)
        try:
            with urllib.request.urlopen(request, context=self.tls, timeout=30) as answer:
                data, status, warnings = answer.read(), answer.status, answer.headers.get_all("Warning") or []
        except urllib.error.HTTPError as error:
            data, status, warnings = error.read(), error.code, []
        try:
            return status, json.loads(data), warnings
        except ValueError:  # "ok", "404 page not found"
            return status, {"message": data.decode(errors="replace")}, warnings


class Schemas:
    """The server's OpenAPI: which fields a kind has, and of which type."""

    def __init__(self, document):
        self.definitions = document["definitions"]
        self.kinds = {}
        for name, definition in self.definitions.items():
            for kind in definition.get("x-kubernetes-group-version-kind", []):
                version = f"{kind['group']}/{kind['version']}" if kind["group"] else kind["version"]
                self.kinds[version, kind["kind"]] = name

    def problems(self, item):
        name = self.kinds.get((item["apiVersion"], item["kind"]))
        if name is None:
            return [f"{item['apiVersion']} {item['kind']}: the server does not know this kind"]
        return list(self._check(item, {"$ref": "#/definitions/" + name}, item["kind"]))

    def _check(self, value, schema, where):
        if "$ref" in schema:
            schema = {**self.definitions[schema["$ref"].removeprefix("#/definitions/")], **{k: v for k, v in schema.items() if k != "$ref"}}
        kind = schema.get("type")
        if schema.get("format") == "int-or-string":
            if not isinstance(value, (int, str)) or isinstance(value, bool):
                yield f"{where}: {value!r} is neither a number nor a text"
        elif kind == "array":
            if not isinstance(value, list):
                yield f"{where}: {value!r} is no list"
                return
            for index, item in enumerate(value):
                yield from self._check(item, schema["items"], f"{where}[{index}]")
        elif "properties" in schema or kind == "object":
            if not isinstance(value, dict):
                yield f"{where}: {value!r} is no mapping"
                return
            known, others = schema.get("properties", {}), schema.get("additionalProperties")
            if schema.get("x-kubernetes-preserve-unknown-fields") or not known and others is None:
                return
            for key, item in value.items():
                if key in known:
                    yield from self._check(item, known[key], f"{where}.{key}")
                elif isinstance(others, dict):
                    yield from self._check(item, others, f"{where}.{key}")
                else:
                    yield f"{where}.{key}: the server knows no such field"
            for key in schema.get("required", []):
                if key not in value:
                    yield f"{where}.{key} is required"
        elif kind and not isinstance(value, {"string": str, "integer": int, "number": (int, float), "boolean": bool}[kind]):
            yield f"{where}: {value!r} is not of type {kind}"


def same(sent, got):
    return sent == got or (isinstance(sent, (int, str)) and isinstance(got, (int, str)) and is_size(sent) and is_size(got)
                           and size_bytes(sent) == size_bytes(got))


def is_size(value):
    try:
        size_bytes(value)
        return True
    except (AttributeError, KeyError):
        return False


def differences(sent, got, where):
    """What was sent and does not read back; the server may add defaults."""
    if isinstance(sent, dict) and isinstance(got, dict):
        for key, value in sent.items():
            if key not in got and value not in ({}, [], None):
                yield f"{where}.{key} was dropped"
            elif key in got:
                yield from differences(value, got[key], f"{where}.{key}")
    elif isinstance(sent, list) and isinstance(got, list):
        if len(sent) != len(got):
            yield f"{where}: {len(sent)} entries became {len(got)}"
        for index, (a, b) in enumerate(zip(sent, got)):
            yield from differences(a, b, f"{where}[{index}]")
    elif not same(sent, got):
        yield f"{where}: {sent!r} became {got!r}"


def collection(server, item):
    """The path at which a kind is created, as the server's discovery says."""
    version = item["apiVersion"]
    prefix = f"/apis/{version}" if "/" in version else f"/api/{version}"
    status, answer, _ = server.ask("GET", prefix)
    found = [each for each in answer.get("resources", []) if each["kind"] == item["kind"] and "/" not in each["name"]]
    if status != 200 or not found:
        raise Failure(f"{version} {item['kind']}: the server does not serve this kind")
    namespace = item["metadata"].get("namespace")
    if found[0]["namespaced"] != (namespace is not None):
        raise Failure(f"{item['kind']} {item['metadata']['name']}: namespaced is {found[0]['namespaced']}, the manifest says {namespace}")
    return prefix + (f"/namespaces/{namespace}" if namespace else "") + "/" + found[0]["name"]


def create(server, item, query=""):
    return judged(item, *server.ask("POST", collection(server, item) + query, item))


def apply_on_server(server, item):
    """As `kubectl apply --server-side` and GitOps controllers do; it asks more of lists than creating does."""
    path = f"{collection(server, item)}/{item['metadata']['name']}?fieldManager=server-side&force=true&fieldValidation=Strict"
    return judged(item, *server.ask("PATCH", path, item, "application/apply-patch+yaml"))


def judged(item, status, answer, warnings):
    name = f"{item['kind']} {item['metadata']['name']}"
    if status not in (200, 201):
        raise Failure(f"{name}: {status} {answer.get('message')}")
    return [f"{name}: {warning}" for warning in warnings]


def wait_for(condition, what, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise Failure(f"waited {seconds} s for {what}")
        time.sleep(0.2)


def ordered(manifests):
    """As kustomization.yaml lists them, then the optional ones."""
    names = [*manifests.kustomization["resources"], *(name for name in manifests.files if name not in manifests.kustomization["resources"])]
    return [item for name in names for item in manifests.files[name]]


def self_test(schemas, daemonset):
    """Mistakes that must be found, or the checks mean nothing."""
    misspelt, mistyped = copy.deepcopy(daemonset), copy.deepcopy(daemonset)
    pod = misspelt["spec"]["template"]["spec"]
    pod["containers"][0]["securityContext"]["readOnlyRootFileSystem"] = pod["containers"][0]["securityContext"].pop("readOnlyRootFilesystem")
    mistyped["spec"]["minReadySeconds"] = "10"
    for item in (misspelt, mistyped):
        if len(schemas.problems(item)) != 1:
            raise Failure(f"a mistake was not found: {schemas.problems(item)}")


def run(server):
    """The findings; every object is on the server afterwards."""
    version = server.ask("GET", "/version")[1]["gitVersion"]
    manifests = Manifests()
    create(server, yaml.safe_load(CRD.read_text(encoding="utf-8")))
    monitor = manifests.one("PodMonitor")

    def served():
        try:
            return collection(server, monitor)
        except Failure:
            return None
    wait_for(served, "the PodMonitor's kind")
    # The schemas of new kinds are published a moment after the kinds themselves.
    wait_for(lambda: (monitor["apiVersion"], "PodMonitor") in Schemas(server.ask("GET", "/openapi/v2")[1]).kinds, "its schema")
    schemas = Schemas(server.ask("GET", "/openapi/v2")[1])
    self_test(schemas, manifests.daemonset)

    found, objects = [], ordered(manifests)
    for item in objects:
        found += schemas.problems(item)
        # Servers from 1.25 on refuse unknown and doubled fields themselves; older ones ignore the word.
        found += create(server, item, "?fieldValidation=Strict&fieldManager=manifests-test")
        found += apply_on_server(server, item)
        got = server.ask("GET", collection(server, item) + "/" + item["metadata"]["name"])[1]
        found += differences(item, got, f"{item['kind']} {item['metadata']['name']}")
        print(f"   {item['kind']} {item['metadata']['name']}: applied, reads back")
    print(f"{len(objects)} objects on kube-apiserver {version}, {len(found)} problems")
    return found


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    arguments.add_argument("--kube-apiserver", default=os.environ.get("KUBE_APISERVER") or shutil.which("kube-apiserver"))
    arguments.add_argument("--etcd", default=os.environ.get("ETCD") or shutil.which("etcd"))
    options = arguments.parse_args()
    for name, program in (("KUBE_APISERVER", options.kube_apiserver), ("ETCD", options.etcd)):
        if not program:
            print(f"skipped: the manifests were not applied to an API server, since {name} names none and none is in PATH")
            return 0
        if not os.access(program, os.X_OK):
            print(f"{name}: {program} cannot be run", file=sys.stderr)
            return 2
    try:
        with ApiServer(options.kube_apiserver, options.etcd) as server:
            found = run(server)
    except Failure as failure:
        found = [str(failure)]
    for text in found:
        print(text, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
