"""nginx as an upstream that is never the slow part of a measurement."""
import contextlib
import os
import socket
import subprocess
import tempfile

from harness.polling import poll
from harness.ports import free_port


@contextlib.contextmanager
def nginx_upstream(file_bytes=None):
    """Answers 200 to everything, at once, and below /read when it has the whole body; with a file of `file_bytes` zeros
    to /file. Yields its address."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        location = f"location / {{ return 200 ok; }} location /read {{ proxy_pass http://127.0.0.1:{port}/; }}"
        if file_bytes is not None:
            with open(os.path.join(folder, "file"), "wb") as file:
                file.truncate(file_bytes)
            location += f" location = /file {{ root {folder}; }}"
        configuration = os.path.join(folder, "nginx.conf")
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(f"daemon off; pid {folder}/pid; error_log {folder}/error;\nworker_rlimit_nofile 20000;\n"
                       "events { worker_connections 16000; }\n"
                       "http { access_log off; sendfile on; keepalive_requests 100000000;\n"
                       f"client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};\n"
                       f"uwsgi_temp_path {folder}; scgi_temp_path {folder};\n"
                       f"server {{ listen 127.0.0.1:{port} backlog=4096; {location} }} }}\n")
        process = subprocess.Popen(["nginx", "-c", configuration, "-e", os.path.join(folder, "error")])
        try:
            poll(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0, "nginx to listen")
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(10)
