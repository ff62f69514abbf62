"""One address for several servers, which get its connections by turns."""
import socket
import threading


class Turns:
    def __init__(self, targets, port):
        self.targets, self.next, self.used = list(targets), 0, set()
        self.listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            target = self.targets[self.next % len(self.targets)]
            self.next += 1
            self.used.add(target)
            try:
                server = socket.create_connection(target, timeout=5)
            except OSError:
                client.close()
                continue
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source, sink):
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def close(self):
        self.listener.close()
