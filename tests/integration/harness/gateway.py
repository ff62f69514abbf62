"""The gateway as a process: configuration from dictionaries, start, signals, logs, metrics, stop."""
import copy
import json
import mmap
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading

from .client import Connection, request_bytes
from .metrics import Metrics
from .polling import poll
from .ports import free_port

SANITIZER_REPORT = re.compile(rb"(Address|Leak|Thread|Memory|UndefinedBehavior)Sanitizer|runtime error:")


def binary():
    path = os.environ.get("GATEHOUSE")
    if not path:
        raise RuntimeError("GATEHOUSE must name the gateway's binary")
    return os.path.abspath(path)


def sanitizer():
    """address or thread for a binary with that sanitizer, else None."""
    with open(binary(), "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return next((name for name, mark in (("address", b"__asan_init"), ("thread", b"__tsan_init")) if data.find(mark) >= 0), None)


def to_yaml(value, indent=0):
    """Dictionaries as YAML blocks; lists and scalars in JSON's syntax, which YAML contains."""
    lines = []
    for key, item in value.items():
        if isinstance(item, dict) and item:
            lines.append(" " * indent + f"{key}:\n" + to_yaml(item, indent + 2))
        else:
            lines.append(" " * indent + f"{key}: {json.dumps(item)}\n")
    return "".join(lines)


def merged(base, changes):
    """A copy of `base` with `changes` laid over it, dictionary by dictionary; None removes a key."""
    result = copy.deepcopy(base)
    for key, value in (changes or {}).items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def tenant(name="shop", upstream=None, **changes):
    """A tenant with one plain host NAME.test, one service, one route and the WAF off, unless `changes` say otherwise."""
    endpoints = [upstream] if isinstance(upstream, str) else [upstream.address] if upstream else ["127.0.0.1:9"]
    base = {
        "tenant": name,
        "hosts": [{"name": f"{name}.test", "tls": "off"}],
        "services": {"web": {"sites": [{"site": "here", "endpoints": endpoints}]}},
        "routes": [{"match": {"path": "/"}, "service": "web"}],
        "waf": {"mode": "off"},
    }
    return merged(base, changes)


class Gateway:
    """`tenants`: {file stem: dictionary or text}; `config`: laid over the harness's gateway.yaml.

    Used as a context manager: started on entry; on exit it must end by itself after SIGTERM, with status 0 and without a
    report of a sanitizer.
    """

    def __init__(self, tenants, config=None, *, folder=None, files=(), listeners=None, environment=None, start=True):
        self.folder = folder or tempfile.mkdtemp(prefix="gatehouse-test-")
        self.owns_folder = folder is None
        self.http_port, self.https_port, self.admin_port = free_port(), free_port(), free_port()
        self.extra_listeners = listeners or []
        self.configuration = os.path.join(self.folder, "gateway.yaml")
        self.tenants_folder = os.path.join(self.folder, "tenants")
        self.access_log, self.audit_log = os.path.join(self.folder, "access.log"), os.path.join(self.folder, "audit.log")
        os.makedirs(self.tenants_folder, exist_ok=True)
        self.config = merged({
            "site": "here",
            "workers": 2,
            "listeners": [{"address": f"127.0.0.1:{self.http_port}", "protocol": "http"},
                          {"address": f"127.0.0.1:{self.https_port}", "protocol": "https"}] + self.extra_listeners,
            "admin": {"address": f"127.0.0.1:{self.admin_port}"},
            "tenants": "tenants/",
            "storage": {"file": os.path.join(self.folder, "state")},
            "policy": {"files": [str(file) for file in files]},
            "access_log": {"path": self.access_log, "client_ip": "full"},
            "audit_log": {"path": self.audit_log},
            "timeouts": {"shutdown_delay": "10ms", "shutdown": "10s"},
        }, config)
        if not files and not (config or {}).get("policy"):
            del self.config["policy"]
        self.write_config()
        for stem, content in tenants.items():
            self.write_tenant(stem, content)
        self.environment = environment or {}
        self.process, self.output, self.errors = None, bytearray(), bytearray()
        if start:
            self.start()

    # Configuration

    def write_config(self, **changes):
        self.config = merged(self.config, changes)
        self._replace(self.configuration, to_yaml(self.config))

    def write_tenant(self, stem, content):
        self._replace(os.path.join(self.tenants_folder, stem + ".yaml"), content if isinstance(content, str) else to_yaml(content))

    def remove_tenant(self, stem):
        os.unlink(os.path.join(self.tenants_folder, stem + ".yaml"))

    @staticmethod
    def _replace(path, text):
        """As an editor or a deployment does it: a new file takes the place of the old one."""
        temporary = os.path.join(os.path.dirname(path), "." + os.path.basename(path) + ".new")
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(temporary, path)

    # The process

    def start(self, ready=True, preexec=None):
        environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99",
                       "TSAN_OPTIONS": os.environ.get("TSAN_OPTIONS", "") + ":exitcode=98", **self.environment}
        self.output, self.errors = bytearray(), bytearray()
        self.process = subprocess.Popen([binary(), "run", "--config", self.configuration], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, preexec_fn=preexec,
                                        cwd=self.folder)
        self.readers = []
        for stream, store in ((self.process.stdout, self.output), (self.process.stderr, self.errors)):
            thread = threading.Thread(target=self._collect, args=(stream, store), daemon=True)
            thread.start()
            self.readers.append(thread)
        if ready:
            self.wait_ready()
        return self

    @staticmethod
    def _collect(stream, store):
        while data := stream.read1(65536):
            store.extend(data)

    @property
    def log(self):
        return (self.output + self.errors).decode("utf-8", "replace")

    def wait_log(self, word):
        """The log is written by a thread of its own."""
        poll(lambda: word in self.log, f"{word!r} in the log")

    @property
    def pid(self):
        return self.process.pid

    def running(self):
        return self.process is not None and self.process.poll() is None

    def wait_ready(self, deadline=60):
        def ready():
            if not self.running():
                for reader in self.readers:
                    reader.join(5)
                raise AssertionError(f"the gateway ended with {self.process.returncode}:\n{self.log}")
            try:
                return self.admin("/readyz").status == 200
            except OSError:
                return False
        try:
            poll(ready, "the gateway to be ready", deadline)
        except AssertionError:
            if self.running():
                self.process.kill()
            raise

    def signal(self, number):
        self.process.send_signal(number)

    def wait_exit(self, deadline=30):
        code = self.process.wait(deadline)
        for reader in self.readers:
            reader.join(5)
        return code

    def stop(self):
        """SIGTERM, and it must end well."""
        if not self.process:
            return
        if self.running():
            self.signal(signal.SIGTERM)
            try:
                code = self.wait_exit()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.wait_exit()
                raise AssertionError(f"the gateway did not end after SIGTERM:\n{self.log}") from None
            assert code == 0, f"exit code {code}:\n{self.log}"
        self.assert_clean()
        self.discard()

    def assert_clean(self):
        assert not SANITIZER_REPORT.search(self.errors), f"a sanitizer's report:\n{self.log}"

    def discard(self):
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def kill(self):
        if self.running():
            self.process.kill()
            self.wait_exit()

    def __enter__(self):
        if not self.process:
            self.start()
        return self

    def __exit__(self, kind, *unused):
        if kind is None:
            self.stop()
        else:
            self.kill()
            print(self.log)
            self.discard()

    # As a client

    @property
    def http(self):
        return ("127.0.0.1", self.http_port)

    @property
    def https(self):
        return ("127.0.0.1", self.https_port)

    def connect(self, *, tls=None, port=None, **options):
        default = self.http_port if tls is None or tls is False else self.https_port
        return Connection(("127.0.0.1", port or default), tls=tls, **options)

    def request(self, target="/", *, method="GET", host="shop.test", headers=(), body=None, tls=None, **options):
        """One request on a connection of its own, which must end cleanly after the answer."""
        if tls is not None and tls is not False:
            options.setdefault("server_name", host)
        with self.connect(tls=tls, **options) as connection:
            connection.try_send(request_bytes(method, target, host, headers, body, close=True))
            response = connection.response(method)
            connection.expect_closed()
            return response

    def admin(self, path, method="GET", headers=(), port=None):
        port = port or self.admin_port
        with Connection(("127.0.0.1", port)) as connection:
            connection.send(request_bytes(method, path, f"127.0.0.1:{port}", headers, close=True))
            return connection.response(method)

    # What can be seen of it

    def metrics(self):
        response = self.admin("/metrics")
        assert response.status == 200, response
        return Metrics.parse(response.text)

    def metric(self, name, **labels):
        return self.metrics().total(name, **labels)

    def wait_metric(self, value, name, **labels):
        """Counters are written when an exchange has ended, which may be after its answer was read."""
        last = []

        def reached():
            last[:] = [self.metric(name, **labels)]
            return value(last[0]) if callable(value) else last[0] == value
        try:
            poll(reached, f"{name}{labels}")
        except AssertionError:
            raise AssertionError(f"{name}{labels} is {last[0]}, not {value}") from None

    @staticmethod
    def _json_lines(path):
        try:
            with open(path, encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            return []
        return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]

    def access_records(self, **wanted):
        """Access records that have these values; `.` in names is written as `__`."""
        records = self._json_lines(self.access_log)
        names = {name.replace("__", "."): value for name, value in wanted.items()}
        return [record for record in records if all(record.get(name) == value for name, value in names.items())]

    def access_record(self, **wanted):
        """The one such record; waits for it."""
        records = poll(lambda: self.access_records(**wanted), f"an access record with {wanted}")
        assert len(records) == 1, records
        return records[0]

    def waf_events(self, **wanted):
        return [event for event in self._json_lines(self.audit_log)
                if event.get("type") == "waf" and all(event.get(name) == value for name, value in wanted.items())]

    def waf_event(self, **wanted):
        events = poll(lambda: self.waf_events(**wanted), f"a WAF event with {wanted}")
        assert len(events) == 1, events
        return events[0]

    def status_page(self):
        response = self.admin("/status")
        assert response.status == 200
        return json.loads(response.body)

    def memory_bytes(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+) kB", file.read())[1]) * 1024

    def reset_peak_memory(self):
        with open(f"/proc/{self.pid}/clear_refs", "w", encoding="ascii") as file:
            file.write("5")

    def peak_memory_bytes(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) * 1024

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def run_command(*arguments, timeout=60, **options):
    """The gateway's command line, run to its end."""
    return subprocess.run([binary(), *arguments], capture_output=True, text=True, timeout=timeout, stdin=subprocess.DEVNULL,
                          check=False, **options)
