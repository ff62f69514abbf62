"""The two sides: nginx with ModSecurity (the peer) and the gateway, over the same rules files and the same backend.

Each stage goes over a connection of its own. The peer's log is matched to stages by the client's port, the gateway's
events by the request id, which the backend's answer repeats. Used by run.py.
"""
import concurrent.futures
import http.client
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))

from harness.gateway import Gateway, tenant  # noqa: E402
from harness.polling import poll  # noqa: E402
from harness.ports import free_port  # noqa: E402

from backend import IDENTITY  # noqa: E402

MODULE = "/usr/lib/nginx/modules/ngx_http_modsecurity_module.so"
PEER_BASE = "/etc/nginx/modsecurity.conf"
PATIENCE = 4.0  # seconds for an answer: a request that never ends gets none
CONNECTIONS = 6
# What the gateway runs for nobody: rules that keep state about clients in the memory of a process.
STATEFUL = "SecRuleRemoveById 901321 949100 910000-910999 912000-912999\n"
ATTACK = b"GET /last?x=1%27+OR+%271%27=%271 HTTP/1.1\r\nHost: last.test\r\nConnection: close\r\n\r\n"


@dataclass
class Answer:
    status: int = None                 # None: none came, or none that is HTTP
    from_backend: bool = False
    identity: str = ""                 # the gateway's request id
    port: int = 0                      # the client's
    text: str = ""


@dataclass
class Result:
    answer: Answer
    rules: set = field(default_factory=set)
    lines: str = ""                    # what patterns of tests are searched in


def ask(address, data, method, used):
    """One request over a connection from a port that no earlier request of this run has come from."""
    while True:
        connection = socket.create_connection(address, timeout=PATIENCE)
        port = connection.getsockname()[1]
        if port not in used:
            used.add(port)
            break
        connection.close()
    answer = Answer(port=port)
    with connection:
        try:
            connection.sendall(data)
        except OSError:
            pass  # refused early: the answer may be there all the same
        response = http.client.HTTPResponse(connection, method=method)
        try:
            response.begin()
            answer.status = response.status
            answer.identity = response.getheader(IDENTITY) or response.getheader("x-request-id") or ""
            answer.from_backend = response.getheader(IDENTITY) is not None
            answer.text = f"{response.headers}\r\n" + response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException, ValueError):
            pass
    return answer


def ask_all(address, stages):
    used = set()
    with concurrent.futures.ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(lambda stage: ask(address, stage.data, stage.method, used), stages))


class Peer:
    """nginx in one process, everything it writes in a folder of its own."""

    def __init__(self, backend, rules, options, keep=None):
        self.folder = keep or tempfile.mkdtemp(prefix="gatehouse-crs-peer-")
        self.kept, self.port = keep is not None, free_port()
        os.makedirs(self.folder, exist_ok=True)
        self.errors, self.accesses = os.path.join(self.folder, "error.log"), os.path.join(self.folder, "access.log")
        with open(os.path.join(self.folder, "rules.conf"), "w", encoding="utf-8") as file:
            file.write(f"Include {PEER_BASE}\nSecRuleEngine DetectionOnly\nSecAuditEngine Off\nSecStatusEngine Off\n"
                       "SecResponseBodyMimeType text/plain text/html text/xml application/json\n")
            file.writelines(f"Include {path}\n" for path in rules)
            file.write(STATEFUL)
        temporary = "".join(f"{kind}_temp_path {self.folder}/{kind}; " for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(os.path.join(self.folder, "nginx.conf"), "w", encoding="utf-8") as file:
            file.write(f"""load_module {MODULE};
daemon off; master_process off; worker_processes 1; pid {self.folder}/pid; error_log {self.errors} info;
events {{ worker_connections 512; }}
http {{
  log_format ports '$connection $remote_port $status'; access_log {self.accesses} ports;
  {temporary}
  client_max_body_size 20m; client_body_buffer_size 1m; large_client_header_buffers 4 16k;
  underscores_in_headers {'on' if options.underscores == 'allow' else 'off'};
  upstream backend {{ server 127.0.0.1:{backend.port} max_fails=0; keepalive 16; }}
  server {{
    listen 127.0.0.1:{self.port} backlog=512; modsecurity on; modsecurity_rules_file {self.folder}/rules.conf;
    modsecurity_transaction_id "$connection-$connection_requests";
    location / {{ proxy_pass http://backend; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
      proxy_next_upstream off; }}
  }}
}}
""")
        command = ["nginx", "-c", os.path.join(self.folder, "nginx.conf"), "-e", self.errors]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        poll(self._listens, "nginx to listen", 60)

    def _listens(self):
        if self.process.poll() is not None:
            raise RuntimeError("nginx ended: " + self.process.stderr.read())
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def results(self, stages):
        answers = ask_all(("127.0.0.1", self.port), stages)
        connections = {}

        def logged():
            with open(self.accesses, encoding="latin-1") as file:
                for line in file:
                    connection, port, _ = line.split()
                    connections.setdefault(int(port), connection)
            return all(answer.port in connections for answer in answers if answer.status is not None)
        poll(logged, "nginx's access log")
        found = {}
        with open(self.errors, encoding="utf-8", errors="replace") as file:
            for line in file:
                match = re.search(r"\d+#\d+: \*(\d+) ModSecurity: ", line)
                if match and (f'[unique_id "{match[1]}-1"]' in line or "[unique_id" not in line):
                    found.setdefault(match[1], []).append(line)
        results = []
        for answer in answers:
            lines = "".join(found.get(connections.get(answer.port), []))
            results.append(Result(answer, {int(number) for number in re.findall(r'\[id "(\d+)"\]', lines)}, lines))
        return results

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.process.stderr.close()
        if not self.kept:
            shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()


class Subject:
    """The gateway with one tenant for all hosts."""

    def __init__(self, backend, rules, options, keep=None, mode="detect"):
        everything = tenant("crs", f"127.0.0.1:{backend.port}", waf={
            "mode": mode, "paranoia": 4 if mode == "detect" else 1, "body": {"limit": "10MiB", "response": True}})
        everything["hosts"] = [{"name": "*", "tls": "off"}]
        self.gateway = Gateway({"crs": everything}, {
            "workers": 1,
            "waf": {"rules": rules, "time_budget": "10s"},
            "limits": {"connections_per_client": 0, "underscores": options.underscores},
            "access_log": {"path": "off"},
        }, folder=keep)

    def results(self, stages):
        address = ("127.0.0.1", self.gateway.http_port)
        answers = ask_all(address, stages)
        last = ask(address, ATTACK, "GET", set())  # events are written in order: after this one all are there
        events = {}

        def written():
            events.update((event["request_id"], event) for event in self.gateway.waf_events())
            return last.identity in events
        poll(written, "the last WAF event", interval=0.2)
        results = []
        for answer in answers:
            event = events.get(answer.identity, {"rules": []})
            lines = "".join(f'[id "{rule["id"]}"] [msg "{rule["msg"]}"] found within {rule["target"]}: {rule["match"]}\n'
                            for rule in event["rules"])
            results.append(Result(answer, {rule["id"] for rule in event["rules"]}, lines))
        return results

    def __enter__(self):
        self.gateway.__enter__()
        return self

    def __exit__(self, *error):
        self.gateway.__exit__(*error)


def missing_for_peer():
    """What the peer would need and is not there; empty if it can run."""
    return [path for path in (shutil.which("nginx") or "nginx", MODULE, PEER_BASE) if not os.path.exists(path)]


def dump(path, stages, peer, subject):
    """Everything, for whoever looks for the cause of a difference."""
    with open(path, "w", encoding="utf-8") as file:
        for index, stage in enumerate(stages):
            file.write(json.dumps({"stage": stage.name, "request": stage.data.decode("latin-1"), **{
                side: {"status": results[index].answer.status, "rules": sorted(results[index].rules), "lines": results[index].lines}
                for side, results in (("peer", peer), ("gateway", subject)) if results}}) + "\n")
