"""The demo's clients: curl for requests, a reader for the gateway's metrics. Used by demo/demo.py."""
import json
import re
import shlex
import subprocess
import time
import urllib.request


def until(seconds, condition, pause=0.1):
    """Asks until it is so; False when it is not in time."""
    end = time.monotonic() + seconds
    while True:
        if condition():
            return True
        if time.monotonic() >= end:
            return False
        time.sleep(pause)


def quoted(word):
    """A word for the shell, in the quotes that read best."""
    if "'" in word and not re.search(r'["$`\\!]', word):
        return f'"{word}"'
    return shlex.quote(word)


class Answer:
    """What curl -v told: status, headers, TLS version and body."""

    def __init__(self, told, body):
        lines = told.splitlines()
        head = [line[2:] for line in lines if line.startswith("< ")]
        starts = [n for n, line in enumerate(head) if line.startswith("HTTP/")]
        self.status = int(head[starts[-1]].split()[1]) if starts else 0
        self.headers = {}
        for line in head[starts[-1] + 1:] if starts else []:
            name, _, value = line.partition(":")
            self.headers.setdefault(name.strip().lower(), value.strip())
        tls = re.search(r"SSL connection using (\S+)", told)
        self.tls = tls.group(1) if tls else "no TLS"
        self.trouble = next((line for line in lines if line.startswith("curl:")), None)
        self.body = body

    def header(self, name):
        return self.headers.get(name)

    def json(self):
        try:
            value = json.loads(self.body)
        except ValueError:
            return {}
        return value if isinstance(value, dict) else {}


class Curl:
    """Calls curl as a client of the demo's hosts would, and shows the command."""

    def __init__(self, stage, report):
        self.stage, self.report = stage, report

    def __call__(self, path, *options, host="shop.example", scheme="https", quiet=False):
        port = self.stage.ports[scheme]
        url = f"{scheme}://{host}:{port}{path}"
        if not quiet:
            self.report.line("$ curl " + " ".join(quoted(word) for word in ("-H" if o == "--header" else o for o in [*options, url])))
        trust = ["--cacert", str(self.stage.certificate)] if host == "shop.example" else ["--insecure"]
        done = subprocess.run(
            ["curl", "--silent", "--show-error", "--verbose", "--noproxy", "*", "--max-time", "10", "--resolve",
             f"{host}:{port}:127.0.0.1", *trust, *options, url],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
        answer = Answer(done.stderr.decode(errors="replace"), done.stdout.decode(errors="replace"))
        if answer.status == 0:
            self.report.line(f"  {answer.trouble or 'no answer'}")
        return answer


class Metrics:
    """Reads the Prometheus text format, as far as the demo needs it."""

    SAMPLE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$')
    LABEL = re.compile(r'(\w+)="((?:\\.|[^"\\])*)"')

    def __init__(self, admin_url):
        self.url = admin_url + "/metrics"

    def samples(self):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.url, timeout=5) as answer:
            for line in answer.read().decode().splitlines():
                if match := self.SAMPLE.match(line):
                    yield match.group(1), dict(self.LABEL.findall(match.group(2) or "")), float(match.group(3))

    def value(self, name, **labels):
        """The sum of the samples that have these labels; None if there are none."""
        found = [value for sample, has, value in self.samples()
                 if sample == name and all(has.get(label) == wanted for label, wanted in labels.items())]
        return sum(found) if found else None
