"""Headless Chromium through the gateway: a page over TLS, its parts, fetch() and a WebSocket."""
import base64
import hashlib
import html
import json
import re
import shutil
import subprocess

import pytest

from harness.gateway import Gateway, tenant
from harness.upstream import Upstream

PAGE = """<!doctype html><title>shop</title><link rel="stylesheet" href="/style.css"><img src="/picture.svg" id="picture">
<p id="result">waiting</p><script src="/script.js"></script><img src="/api/finished">"""

SCRIPT = """
(async () => {
  const result = {};
  try {
    result.get = await (await fetch('/api/get?q=hello+world')).json();
    result.post = await (await fetch('/api/post', {method: 'POST', headers: {'Content-Type': 'application/json'},
                                                   body: JSON.stringify({name: 'Zo\\u00eb', n: 1})})).json();
    result.large = (await (await fetch('/api/large')).arrayBuffer()).byteLength;
    result.many = (await Promise.all([...Array(20).keys()].map(async n => (await (await fetch('/api/get?n=' + n)).json()).query))).join();
    result.blocked = (await fetch('/api/get?id=' + encodeURIComponent("1' OR '1'='1' -- "))).status;
    result.missing = (await fetch('/none/x')).status;
    result.style = getComputedStyle(document.getElementById('result')).color;
    result.picture = document.getElementById('picture').naturalWidth;
    result.socket = await new Promise((resolve, reject) => {
      const socket = new WebSocket('wss://' + location.host + '/socket');
      const heard = [];
      socket.binaryType = 'arraybuffer';
      socket.onopen = () => { socket.send('hello'); socket.send(new Uint8Array(100000)); };
      socket.onmessage = event => {
        heard.push(typeof event.data === 'string' ? event.data : event.data.byteLength);
        if (heard.length === 2) socket.close(4001, 'enough');
      };
      socket.onclose = event => resolve({heard, code: event.code});
      socket.onerror = () => reject(new Error('socket'));
    });
  } catch (error) {
    result.error = String(error);
  }
  document.getElementById('result').textContent = JSON.stringify(result);
  await fetch('/api/finish');
})();
"""


def text_frames(connection):
    """The server's side of a WebSocket, as much of RFC 6455 as the page needs: it sends back what it gets."""
    buffer = connection.buffer
    while True:
        first, second = buffer.take(2)
        size = second & 0x7f
        if size == 126:
            size = int.from_bytes(buffer.take(2), "big")
        elif size == 127:
            size = int.from_bytes(buffer.take(8), "big")
        mask, data = buffer.take(4), buffer.take(size)
        data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        length = bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big")
        connection.send(bytes([0x80 | first & 0x0f]) + length + data)
        if first & 0x0f == 8:
            return


def site(connection, request):
    path, _, query = request.target.partition("?")
    if path == "/socket":
        accept = base64.b64encode(hashlib.sha1((request.header("sec-websocket-key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
        connection.send(f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")
        text_frames(connection)
        connection.close()
        return
    kinds = {"/": ("text/html; charset=utf-8", PAGE), "/script.js": ("text/javascript", SCRIPT), "/style.css": ("text/css", "#result {color: rgb(1, 2, 3)}"),
             "/picture.svg": ("image/svg+xml", '<svg xmlns="http://www.w3.org/2000/svg" width="7" height="7"/>')}
    if path == "/":
        connection.upstream.released.clear()
    if path in kinds:
        connection.respond(headers=[("Content-Type", kinds[path][0])], body=kinds[path][1])
    elif path == "/api/large":
        # In chunks, and as an upstream of old: until it closes.
        connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nConnection: close\r\n\r\n" + b"x" * 3_000_000)
        connection.close()
    elif path == "/api/finished":
        # The page counts as loaded, and is dumped, when this picture of it has come: once the script is done.
        connection.upstream.released.wait(60)
        connection.respond(204)
    elif path.startswith("/api/"):
        if path == "/api/finish":
            connection.upstream.released.set()
        answer = {"method": request.method, "query": query, "proto": request.header("x-forwarded-proto"), "body": request.body.decode()}
        connection.respond(headers=[("Content-Type", "application/json")], body=json.dumps(answer))
    else:
        connection.respond(404, body="no")


@pytest.fixture(scope="module")
def gateway():
    with Upstream(site) as server:
        shop = tenant(upstream=server, hosts=[{"name": "shop.test", "tls": {"self_signed": True}}], waf={"mode": "block"},
                      routes=[{"match": {"path": path}, "service": "web"} for path in ("/api", "/socket")]
                      + [{"match": {"path_regex": "/|/[a-z]+[.][a-z]+"}, "service": "web"}])
        with Gateway({"shop": shop}) as running:
            yield running


def visit(gateway, url, profile):
    """The document after its scripts have run."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert browser, "Chromium is not installed"
    command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
               "--disable-component-update", "--disable-sync", "--disable-default-apps", "--disable-dev-shm-usage", f"--user-data-dir={profile}",
               "--ignore-certificate-errors", f"--host-resolver-rules=MAP shop.test 127.0.0.1:{gateway.https_port}",
               "--timeout=60000", "--dump-dom", url]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr[-3000:]
    return result.stdout


def test_a_page_with_its_script(gateway, tmp_path):
    document = visit(gateway, "https://shop.test/", tmp_path)
    match = re.search(r'<p id="result">(.*?)</p>', document, re.DOTALL)
    assert match, document[:2000]
    result = json.loads(html.unescape(match[1]))
    assert "error" not in result, result
    assert result["get"] == {"method": "GET", "query": "q=hello+world", "proto": "https", "body": ""}
    assert result["post"]["method"] == "POST" and json.loads(result["post"]["body"]) == {"name": "Zoë", "n": 1}
    assert result["large"] == 3_000_000
    assert result["many"] == ",".join(f"n={number}" for number in range(20))
    assert result["blocked"] == 403 and result["missing"] == 404
    assert result["style"] == "rgb(1, 2, 3)" and result["picture"] == 7
    assert result["socket"] == {"heard": ["hello", 100000], "code": 4001}
    versions = {record["url.path"]: record["http.version"] for record in gateway.access_records()}
    assert versions["/api/post"] == "2" and versions["/socket"] == "2", versions


def test_an_answer_of_the_gateways_own_is_a_page(gateway, tmp_path):
    document = visit(gateway, "https://shop.test/none/here", tmp_path)
    assert "404" in document and "<h1" in document.lower() or "<title" in document.lower()
