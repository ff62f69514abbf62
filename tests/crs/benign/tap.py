"""A TLS listener in front of one application that notes each request as the client sent it. See README.md.

What goes to and fro is not touched. Requests end up as {"head": text, "body": base64}, the body without its chunks; after
an upgrade nothing is noted any more.
"""
import asyncio
import base64
import json
import ssl

MOST_BODY_BYTES = 256 * 1024  # larger ones are passed on, and not noted


class Reader:
    """Cuts one direction of one connection into requests."""

    def __init__(self, note):
        self.note, self.data, self.head, self.body, self.left, self.chunked, self.done = note, bytearray(), None, bytearray(), 0, False, False

    def feed(self, data):
        if self.done:
            return
        self.data += data
        while self.step():
            pass

    def step(self):
        if self.head is None:
            end = self.data.find(b"\r\n\r\n")
            if end < 0:
                return False
            self.head, self.body = bytes(self.data[:end + 4]), bytearray()
            del self.data[:end + 4]
            fields = {name.strip().lower(): value.strip() for name, _, value in
                      (line.partition(b":") for line in self.head.split(b"\r\n")[1:])}
            self.chunked = fields.get(b"transfer-encoding", b"").lower() == b"chunked"
            self.left = int(fields.get(b"content-length", b"0"))
            if not self.chunked and self.left == 0:
                self.finish(b"upgrade" in fields)
            return True
        if self.chunked:
            line = self.data.find(b"\r\n")
            if line < 0:
                return False
            size = int(bytes(self.data[:line]).split(b";")[0], 16)
            if len(self.data) < line + 2 + size + 2:
                return False
            self.body += self.data[line + 2:line + 2 + size]
            del self.data[:line + 2 + size + 2]
            if size == 0:
                self.finish(False)
            return True
        taken = min(self.left, len(self.data))
        if taken == 0:
            return False
        self.body += self.data[:taken]
        del self.data[:taken]
        self.left -= taken
        if self.left == 0:
            self.finish(False)
        return True

    def finish(self, upgrade):
        if len(self.body) <= MOST_BODY_BYTES:
            self.note({"head": self.head.decode("latin-1"), "body": base64.b64encode(self.body).decode()})
        self.head, self.done = None, upgrade


class Tap:
    """`async with Tap(upstream_port, certificate, key, path) as tap`: tap.port is where clients connect."""

    def __init__(self, upstream_port, certificate, key, path):
        self.upstream_port, self.path, self.count = upstream_port, path, 0
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        self.context.set_alpn_protocols(["http/1.1"])

    async def __aenter__(self):
        self.file = open(self.path, "a", encoding="utf-8")
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.context)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        self.file.close()

    def note(self, request):
        self.count += 1
        if not self.file.closed:
            self.file.write(json.dumps(request) + "\n")

    async def serve(self, reader, writer):
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        except OSError:
            writer.close()
            return
        cut = Reader(self.note)

        async def pump(source, sink, feed):
            try:
                while data := await source.read(65536):
                    feed(data)
                    sink.write(data)
                    await sink.drain()
            except (OSError, ssl.SSLError):
                pass
            finally:
                sink.close()

        await asyncio.gather(pump(reader, upstream_writer, cut.feed), pump(upstream_reader, writer, lambda _: None))
