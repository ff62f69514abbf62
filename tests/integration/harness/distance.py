"""A TCP relay that makes its server far away: what the server sends arrives later by the round trip."""
import queue
import socket
import threading
import time

from .relay import Relay


class Distance(Relay):
    """Relays to `server`, a port. `seconds` may be changed at any time."""

    def __init__(self, server, seconds):
        self.server, self.seconds = server, seconds
        super().__init__()

    def relay(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self.server))
        except OSError:
            client.close()
            return
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        late = queue.Queue()
        threading.Thread(target=self._deliver, args=(late, client), daemon=True).start()
        threading.Thread(target=self.forward, args=(client, server), daemon=True).start()
        for data in self.pieces(server):
            late.put((time.monotonic() + self.seconds, data))
        late.put((0, b""))

    def _deliver(self, late, client):
        while True:
            due, data = late.get()
            if not data:
                break
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                client.sendall(data)
            except OSError:
                break
        self.end(client)
