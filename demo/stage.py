"""The demo's processes: Redis, upstreams and the gateway, in a folder of their own. Used by demo/demo.py.

Processes are ended by the process id that was started, never by name. What is left running is remembered with each
process's start time, so that a later --stop cannot hit a stranger that got the same id.
"""
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from client import until

# The ports as the YAML files in this folder name them; each is replaced when it is taken.
PORTS = {"http": 8080, "https": 8443, "admin": 9901, "redis": 6379, "shop-1": 9001, "shop-2": 9002, "shop-3": 9003}


class StageError(Exception):
    """Something did not start."""


def start_time(pid):
    """When a process began, in clock ticks since boot; None when there is none or it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def free_ports():
    """Every port of PORTS if it is free, else another one."""
    ports, held = {}, []
    for name, wanted in PORTS.items():
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            # Free on every address: what listens on a wildcard would share the port, or refuse it.
            listener.bind(("", wanted))
        except OSError:
            listener.bind(("", 0))
        held.append(listener)
        ports[name] = listener.getsockname()[1]
    for listener in held:
        listener.close()
    return ports


class Stage:
    def __init__(self, binary, root):
        self.binary, self.templates = binary, root / "demo"
        self.folder = Path(tempfile.mkdtemp(prefix="gatehouse-demo."))
        self.ports = free_ports()
        self.processes = {}  # name -> Popen, in the order of their start
        self.certificate = self.folder / "tenants" / "shop.d" / "shop.pem"

    @property
    def admin_url(self):
        return f"http://127.0.0.1:{self.ports['admin']}"

    # Starting

    def start(self, site_of, report):
        self.write_configuration()
        self.spawn("redis", "redis-server", "--bind", "127.0.0.1", "--port", str(self.ports["redis"]), "--save", "",
                   "--appendonly", "no", "--dir", str(self.folder))
        self.wait_for_port("redis")
        report.check(True, f"redis-server        127.0.0.1:{self.ports['redis']}")
        for name, site in site_of.items():
            self.start_upstream(name, site)
            report.check(True, f"{name} at {site:<9} 127.0.0.1:{self.ports[name]}")
        self.start_gateway(report)

    def write_configuration(self):
        """The YAML files of this folder with the ports that are free, and a certificate for the shop."""
        for template in [self.templates / "gateway.yaml", *sorted((self.templates / "tenants").glob("*.yaml"))]:
            text = template.read_text()
            for name, port in PORTS.items():
                text = text.replace(f"127.0.0.1:{port}", f"127.0.0.1:<{name}>").replace(
                    f"redirect_port: {port}", f"redirect_port: <{name}>")
            for name, port in self.ports.items():
                text = text.replace(f"<{name}>", str(port))
            file = self.folder / template.relative_to(self.templates)
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        (self.folder / "state").mkdir()
        self.certificate.parent.mkdir()
        self.run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "7",
                 "-subj", "/CN=shop.example", "-addext", "subjectAltName=DNS:shop.example",
                 "-keyout", str(self.certificate.with_suffix(".key")), "-out", str(self.certificate))

    def start_upstream(self, name, site):
        self.spawn(name, sys.executable, str(self.templates / "upstream.py"), name, site, str(self.ports[name]))
        self.wait_for_port(name)

    def start_gateway(self, report):
        configuration = str(self.folder / "gateway.yaml")
        checked = subprocess.run([self.binary, "check", "--config", configuration], stdin=subprocess.DEVNULL,
                                 stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if checked.returncode != 0:
            raise StageError(f"gatehouse check: exit {checked.returncode}\n{checked.stdout}")
        report.check(True, "gatehouse check     the configuration is fine")
        began = time.monotonic()
        self.spawn("gateway", str(self.binary), "run", "--config", configuration)
        health = [self.binary, "health", "--admin", f"127.0.0.1:{self.ports['admin']}"]
        ready = until(60, lambda: self.processes["gateway"].poll() is not None or subprocess.run(
            health, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode == 0)
        if not ready or self.processes["gateway"].poll() is not None:
            raise StageError(f"the gateway is not ready; it said:\n{self.said('gateway')}")
        report.check(True, f"gatehouse run       127.0.0.1:{self.ports['https']}, ready after {time.monotonic() - began:.1f} s")

    def spawn(self, name, *command):
        with open(self.folder / f"{name}.out", "ab") as out:
            self.processes[name] = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                                    cwd=self.folder, start_new_session=True)

    def wait_for_port(self, name):
        def listens():
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.ports[name])) == 0
        process = self.processes[name]
        if not until(20, lambda: process.poll() is not None or listens()) or process.poll() is not None:
            raise StageError(f"{name} did not start; it said:\n{self.said(name)}")

    def said(self, name):
        return (self.folder / f"{name}.out").read_text(errors="replace")[-4000:]

    def run(self, *command):
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        if done.returncode != 0:
            raise StageError(f"{command[0]}: exit {done.returncode}\n{done.stdout}")
        return done.stdout.strip()

    # Looking

    def redis_cli(self, *arguments):
        return self.run("redis-cli", "-p", str(self.ports["redis"]), *arguments)

    def find_record(self, file, key, wanted, seconds=3):
        """The JSON line of a log whose `key` is `wanted`; logs are written within a second."""
        found = []

        def search():
            path = self.folder / file
            for line in path.read_text().splitlines() if path.exists() else []:
                try:
                    record = json.loads(line)
                except ValueError:
                    continue  # being written
                if record.get(key) == wanted:
                    found.append(record)
            return bool(found)

        until(seconds, search)
        return found[0] if found else None

    def pid_of(self, name):
        return self.processes[name].pid

    def curl_hint(self, path):
        port = self.ports["https"]
        return f"curl --cacert {self.certificate} --resolve shop.example:{port}:127.0.0.1 https://shop.example:{port}{path}"

    # Ending

    def kill(self, name):
        self.processes[name].kill()
        self.processes[name].wait()

    def stop(self):
        """Ends what runs, the gateway first. True if the gateway drained and nothing had to be killed."""
        fine = True
        for name in reversed(list(self.processes)):
            process = self.processes[name]
            if process.poll() is not None:
                fine = fine and name != "gateway"
                continue
            process.terminate()
            try:
                code = process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                fine = False
                continue
            if name == "gateway" and code != 0:
                fine = False
        return fine

    def remove_folder(self):
        shutil.rmtree(self.folder, ignore_errors=True)

    def remember(self, build):
        build.mkdir(exist_ok=True)
        (build / "demo.json").write_text(json.dumps({
            "folder": str(self.folder),
            "processes": [[p.pid, start_time(p.pid)] for p in reversed(list(self.processes.values())) if p.poll() is None]}))

    @staticmethod
    def stop_earlier(build):
        """Stops what an earlier run remembered. True if there was something."""
        file = build / "demo.json"
        if not file.exists():
            return False
        earlier = json.loads(file.read_text())
        running = [pid for pid, began in earlier["processes"] if began is not None and start_time(pid) == began]
        for pid in running:
            os.kill(pid, signal.SIGTERM)
            if not until(15, lambda pid=pid: start_time(pid) is None):
                os.kill(pid, signal.SIGKILL)
        if Path(earlier["folder"]).name.startswith("gatehouse-demo."):
            shutil.rmtree(earlier["folder"], ignore_errors=True)
        file.unlink()
        return bool(running)
