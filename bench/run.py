#!/usr/bin/env python3
"""Measures the gateway beside named peers: one upstream, one load, one machine, in one run. Called by `./dev bench`.

    ./dev bench                                     nginx and the gateway, without and with the WAF
    ./dev bench --targets nginx,haproxy,gatehouse --workloads get,close --seconds 4 --rounds 5

A target has one worker on processor 0; load and upstream share processor 1. The figure to compare is the target's own
processor time a request, as a ratio to the first target of its kind: it repeats within a few percent on a busy machine,
throughput and latency do not. Rounds are interleaved; the median of them is shown.
"""
import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = Path(__file__).resolve().parent / "peers"

WORKLOADS = {  # name -> path, connections, extra options of wrk
    "get": ("/page?id=7&sort=price", 32, []),
    "100k": ("/file/100k", 16, []),
    "1m": ("/file/1m", 8, []),
    "close": ("/page?id=7", 16, ["-H", "Connection: close"]),
}
HTTP2_WORKLOADS = {  # name -> path, connections, streams of each
    "h2": ("/page?id=7&sort=price", 16, 16),
    "h2-1m": ("/file/1m", 8, 4),
}
DEFAULT_TARGETS = "nginx,gatehouse,nginx-waf,gatehouse-waf"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def process_tree(pid):
    found, pending = [], [pid]
    while pending:
        pid = pending.pop()
        found.append(pid)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                pending += [int(child) for child in children.read_text().split()]
            except OSError:
                pass
    return found


def cpu_seconds(pid):
    """Processor time of a process and its children, in the scheduler's nanoseconds rather than in clock ticks."""
    total = 0
    for member in process_tree(pid):
        for schedstat in Path(f"/proc/{member}/task").glob("*/schedstat"):
            try:
                total += int(schedstat.read_text().split()[0])
            except OSError:
                pass
    return total / 1e9


def resident_kib(pid):
    total = 0
    for member in process_tree(pid):
        try:
            total += int(re.search(r"^Pss:\s+(\d+)", Path(f"/proc/{member}/smaps_rollup").read_text(), re.MULTILINE).group(1))
        except (OSError, AttributeError):
            pass
    return total


class Bench:
    def __init__(self, binary, seconds):
        self.binary, self.seconds = binary, seconds
        self.run_folder = Path(tempfile.mkdtemp(prefix="gatehouse-bench."))
        self.run_folder.chmod(0o755)
        self.processes = []
        self.backend = free_port()
        self.pinned = len(os.sched_getaffinity(0)) > 1

    def prepare(self):
        run = self.run_folder
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "7",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", run / "key.pem",
                        "-out", run / "cert.pem"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        (run / "both.pem").write_text((run / "cert.pem").read_text() + (run / "key.pem").read_text())
        (run / "files").mkdir()
        (run / "files" / "100k").write_bytes(os.urandom(100 << 10))
        (run / "files" / "1m").write_bytes(os.urandom(1 << 20))
        for file in [*run.glob("*.pem"), *run.glob("files/*")]:
            file.chmod(0o644)
        self.start("backend", 1, self.backend, "nginx", "-c", self.fill("backend.conf", "backend.conf", BODY="x" * 1024), "-e",
                   run / "backend.err")

    def fill(self, template, name, **values):
        text = (PEERS / template).read_text()
        for key, value in {"RUN": self.run_folder, "BACKEND": self.backend, **values}.items():
            text = text.replace(f"@{key}@", str(value))
        file = self.run_folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def start(self, name, processor, port, *command):
        command = [str(word) for word in command]
        if self.pinned:
            command = ["taskset", "--cpu-list", str(processor), *command]
        with open(self.run_folder / f"{name}.out", "ab") as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
        self.processes.append(process)
        end = time.monotonic() + 60
        while time.monotonic() < end and process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return process
            time.sleep(0.05)
        raise SystemExit(f"{name} does not listen:\n{(self.run_folder / f'{name}.out').read_text()}")

    def start_target(self, name):
        kind, _, variant = name.partition("-")
        waf, port = variant == "waf", free_port()
        if kind == "nginx":
            configuration = self.fill(
                "nginx.conf", f"{name}.conf", NAME=name, PORT=port,
                MODULE="load_module /usr/lib/nginx/modules/ngx_http_modsecurity_module.so;" if waf else "",
                WAF=f"modsecurity on; modsecurity_rules_file {self.fill('modsecurity.conf', 'modsecurity.conf')};" if waf else "")
            return self.start(name, 0, port, "nginx", "-c", configuration, "-e", self.run_folder / f"{name}.err"), port
        if kind == "haproxy" and not variant:
            return self.start(name, 0, port, "haproxy", "-f", self.fill("haproxy.cfg", f"{name}.cfg", PORT=port)), port
        if kind == "gatehouse":
            configuration = self.fill("gateway.yaml", f"{name}/gateway.yaml", PORT=port, ADMIN=free_port())
            self.fill("tenant.yaml", f"{name}/tenants/bench.yaml", WAFMODE="block" if waf else "off")
            (self.run_folder / name / "state").mkdir()
            return self.start(name, 0, port, self.binary, "run", "--config", configuration), port
        raise SystemExit(f"unknown target: {name}")

    def load_http2(self, process, port, workload):
        """The same with h2load, which tells no p99: its longest request stands for it."""
        path, connections, streams = HTTP2_WORKLOADS[workload]
        command = ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{self.seconds}", f"https://localhost:{port}{path}"]
        before = cpu_seconds(process.pid)
        text = subprocess.run([*(["taskset", "--cpu-list", "1"] if self.pinned else []), *command], check=True,
                              stdout=subprocess.PIPE, text=True).stdout
        spent = cpu_seconds(process.pid) - before
        succeeded, failed = map(int, re.search(r"(\d+) succeeded, (\d+) failed", text).groups())
        number, unit = re.search(r"time for request:\s+\S+\s+([\d.]+)(us|ms|s)\b", text).groups()
        return {"us": spent * 1e6 / max(succeeded, 1), "rps": succeeded / self.seconds, "failures": failed,
                "p99_ms": float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]}

    def load(self, process, port, workload):
        """One run of wrk: processor time a request, requests a second, p99, failures."""
        if workload in HTTP2_WORKLOADS:
            return self.load_http2(process, port, workload)
        path, connections, options = WORKLOADS[workload]
        command = ["wrk", "--latency", "-t1", f"-c{connections}", f"-d{self.seconds}s", *options, f"https://localhost:{port}{path}"]
        before = cpu_seconds(process.pid)
        text = subprocess.run([*(["taskset", "--cpu-list", "1"] if self.pinned else []), *command], check=True,
                              stdout=subprocess.PIPE, text=True).stdout
        spent = cpu_seconds(process.pid) - before
        requests = int(re.search(r"(\d+) requests in", text).group(1))
        number, unit = re.search(r"99%\s+([\d.]+)(us|ms|s)\b", text).groups()
        failures = sum(int(n) for n in re.findall(r"(?:connect|read|write|timeout|Non-2xx or 3xx responses:?) (\d+)", text))
        return {"us": spent * 1e6 / max(requests, 1), "rps": requests / self.seconds, "failures": failures,
                "p99_ms": float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]}

    def end(self, process):
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self.processes.remove(process)

    def end_all(self):
        for process in reversed(list(self.processes)):
            self.end(process)
        shutil.rmtree(self.run_folder, ignore_errors=True)


def median_of(rounds):
    return {key: statistics.median(run[key] for run in rounds) if key != "failures" else sum(run[key] for run in rounds)
            for key in rounds[0]}


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--binary", type=Path, default=ROOT / "build" / "gatehouse")
    options.add_argument("--targets", default=DEFAULT_TARGETS)
    options.add_argument("--workloads", default=",".join([*WORKLOADS, *HTTP2_WORKLOADS]))
    options.add_argument("--seconds", type=int, default=3)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--json", type=Path, help="also write the figures to this file")
    arguments = options.parse_args()
    targets, workloads = arguments.targets.split(","), arguments.workloads.split(",")
    for workload in workloads:
        if workload not in WORKLOADS and workload not in HTTP2_WORKLOADS:
            options.error(f"unknown workload: {workload}")

    bench = Bench(arguments.binary.resolve(), arguments.seconds)
    figures, resident = {}, {}
    try:
        bench.prepare()
        for _ in range(arguments.rounds):
            for target in targets:  # started anew each round: no target profits from running first or alone
                process, port = bench.start_target(target)
                time.sleep(0.3)
                for workload in workloads:
                    figures.setdefault((workload, target), []).append(bench.load(process, port, workload))
                resident[target] = resident_kib(process.pid)
                bench.end(process)
    finally:
        bench.end_all()

    print(f"{'workload':<9}{'target':<16}{'CPU us/request':>15}{'ratio':>8}{'requests/s':>12}{'p99 ms':>9}{'failed':>8}{'MiB':>7}")
    result = []
    for workload in workloads:
        first = {}  # with and without the WAF are compared among themselves
        for target in targets:
            row = median_of(figures[workload, target])
            base = first.setdefault(target.endswith("-waf"), row["us"])
            result.append({"workload": workload, "target": target, "ratio": row["us"] / base, "kib": resident[target], **row})
            print(f"{workload:<9}{target:<16}{row['us']:>15.1f}{row['us'] / base:>8.2f}{row['rps']:>12.0f}{row['p99_ms']:>9.1f}"
                  f"{row['failures']:>8}{resident[target] / 1024:>7.0f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")
    return 1 if any(row["failures"] for row in result) else 0


if __name__ == "__main__":
    sys.exit(main())
