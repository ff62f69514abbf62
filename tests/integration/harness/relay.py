"""What TCP relays of the tests have in common: they listen, and each connection is relayed in a thread of its own."""
import contextlib
import socket
import threading


class Relay:
    """`port` is where to connect to. Subclasses say in relay(client) what becomes of a connection."""

    def __init__(self, port=0):
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.relay, args=(client,), daemon=True).start()

    def relay(self, client):
        raise NotImplementedError

    @staticmethod
    def pieces(sock):
        while True:
            try:
                data = sock.recv(1 << 16)
            except OSError:
                return
            if not data:
                return
            yield data

    @staticmethod
    def end(sock):
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)

    def forward(self, source, sink):
        for data in self.pieces(source):
            try:
                sink.sendall(data)
            except OSError:
                break
        self.end(sink)

    def close(self):
        self.listener.close()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()
