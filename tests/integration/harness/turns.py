"""One address for several servers, which get its connections by turns."""
import socket
import threading

from .relay import Relay


class Turns(Relay):
    """`used`: the servers that have been connected to."""

    def __init__(self, targets, port):
        self.targets, self.count, self.used, self.lock = list(targets), 0, set(), threading.Lock()
        super().__init__(port)

    def relay(self, client):
        with self.lock:
            target = self.targets[self.count % len(self.targets)]
            self.count += 1
            self.used.add(target)
        try:
            server = socket.create_connection(target, timeout=5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        threading.Thread(target=self.forward, args=(server, client), daemon=True).start()
        self.forward(client, server)
