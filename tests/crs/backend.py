"""The backend of both sides: answers anything with an empty 200 and says which request it was.

POST /reflect answers as the JSON body says (status, headers, body or encodedBody), which is how CRS's tests of response
rules bring their responses. Used by targets.py.
"""
import asyncio
import base64
import json
import re
import threading

IDENTITY = "X-Answers"  # the request's x-request-id; its presence tells that the backend has answered


def reflected(body):
    """(status, headers, body) that the request asks for."""
    try:
        wanted = json.loads(body)
        content = wanted.get("body") or base64.b64decode(wanted.get("encodedBody") or "")
        headers = {str(name): str(value) for name, value in (wanted.get("headers") or {}).items()}
        status = int(wanted.get("status") or 200)
    except (ValueError, AttributeError, TypeError):
        return 400, {}, b"Invalid JSON in request body"
    if not 200 <= status <= 599:
        return 400, {}, b"Invalid status code"
    return status, headers, content.encode() if isinstance(content, str) else content


def content_type(content):
    """What CRS's own backend says of a response without a type: it looks at the content."""
    start = content[:512].lstrip(b"\t\n\x0c\r ").lower()
    if re.match(rb"<(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p)[ >]|<!--", start):
        return "text/html; charset=utf-8"
    if start.startswith(b"<?xml"):
        return "text/xml; charset=utf-8"
    binary = re.search(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]", content[:512])
    return "application/octet-stream" if binary else "text/plain; charset=utf-8"


async def read_body(reader, headers):
    if "chunked" in headers.get("transfer-encoding", ""):
        body = b""
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        while await reader.readuntil(b"\r\n") != b"\r\n":
            pass
        return body
    return await reader.readexactly(int(headers.get("content-length") or 0))


async def serve(reader, writer):
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target = head[0].split(" ")[:2]
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await read_body(reader, headers)
            path = target.partition("?")[0].rstrip("/")
            status, extra, content = reflected(body) if method == "POST" and path == "/reflect" else (200, {}, b"")
            lines = [f"HTTP/1.1 {status} Answer", f"{IDENTITY}: {headers.get('x-request-id') or '-'}"]
            lines += [f"{name}: {value}" for name, value in extra.items() if name.lower() not in ("content-length", "transfer-encoding")]
            if content and not any(name.lower() == "content-type" for name in extra):
                lines.append(f"Content-Type: {content_type(content)}")
            if status not in (204, 304):
                lines.append(f"Content-Length: {len(content)}")
            head = ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8")
            writer.write(head if method == "HEAD" or status in (204, 304) else head + content)
            await writer.drain()
    except (OSError, EOFError, ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass
    finally:
        writer.close()


class Backend:
    """Runs in a thread of its own on a free port of loopback."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self.port = 0
        started = threading.Event()

        async def begin():
            self.server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 22, backlog=512)
            self.port = self.server.sockets[0].getsockname()[1]
            started.set()

        def run():
            asyncio.set_event_loop(self.loop)
            self.loop.run_until_complete(begin())
            self.loop.run_forever()

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()
        if not started.wait(10):
            raise RuntimeError("the backend did not start")

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
