"""A TCP relay that makes its server far away: what the server sends arrives later by the round trip."""
import queue
import socket
import threading
import time


class Distance:
    """Relays to `port`; `port` of this object is where to connect to. `seconds` may be changed at any time."""

    def __init__(self, port, seconds):
        self.server, self.seconds = port, seconds
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client):
        try:
            server = socket.create_connection(("127.0.0.1", self.server))
        except OSError:
            client.close()
            return
        for sock in (client, server):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        late = queue.Queue()
        threading.Thread(target=self._deliver, args=(late, client), daemon=True).start()
        threading.Thread(target=self._forward, args=(client, server), daemon=True).start()
        for data in self._pieces(server):
            late.put((time.monotonic() + self.seconds, data))
        late.put((0, b""))

    @staticmethod
    def _pieces(sock):
        while True:
            try:
                data = sock.recv(1 << 16)
            except OSError:
                return
            if not data:
                return
            yield data

    @staticmethod
    def _end(sock):
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def _forward(self, client, server):
        for data in self._pieces(client):
            try:
                server.sendall(data)
            except OSError:
                break
        self._end(server)

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
        self._end(client)

    def close(self):
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
