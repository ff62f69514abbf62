#!/usr/bin/env python3
"""An upstream of the demo: answers every request with what it saw, as JSON. Started by demo/demo.py.

Usage: upstream.py NAME SITE PORT
"""
import json
import signal
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"     # keep-alive, as the gateway's connection pool expects
    disable_nagle_algorithm = True
    wbufsize = 64 * 1024              # head and body in one packet

    def do_GET(self):
        if self.path == "/healthz":
            self.answer({"healthy": True})
            return
        self.answer({
            "upstream": self.server.name,
            "site": self.server.site,
            "method": self.command,
            "path": self.path,
            "body_bytes": len(self.body()),
            "headers": {name.lower(): value for name, value in self.headers.items()},
        })

    do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_GET

    def body(self):
        if self.headers.get("transfer-encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("content-length") or 0))

    def answer(self, value):
        text = (json.dumps(value, indent=1) + "\n").encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(text)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, name, site, port):
        self.name, self.site = name, site
        super().__init__(("127.0.0.1", port), Echo)

    def handle_error(self, *_):
        pass                          # a client that left is no event


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server(sys.argv[1], sys.argv[2], int(sys.argv[3])).serve_forever()
