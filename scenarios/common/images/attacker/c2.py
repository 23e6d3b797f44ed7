"""The attacker's servers, all in one: stand-ins that answer as the real ones do and keep nothing.

  80    files for download (/srv/loot), a sink for uploads (POST, any path), and /tasks, which hands a beacon its next order
  443   a mining pool behind TLS, as mining proxies offer it
  3333  a mining pool: stratum's login, job and submit
  4444  waits for a shell that connects back, types a few harmless commands into it, and leaves
  8443  the same
  8000  a relay to the shop's application, for requests that were led astray
"""

import http.server
import json
import pathlib
import socket
import socketserver
import ssl
import threading
import time

TASKS = ["id", "uname -a", "ls /srv", "sleep"]
TYPED = ["id", "uname -a", "ls -la /", "cat /etc/passwd", "ps 2>/dev/null || ls /proc", "exit"]
JOB = {"blob": "00" * 76, "job_id": "1", "target": "ffff0000", "height": 1, "seed_hash": "00" * 32, "algo": "rx/0"}
served = 0


class Files(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, *args):
        super().__init__(*args, directory="/srv/loot")

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        global served
        if self.path.startswith("/tasks"):
            served += 1
            self.answer(TASKS[(served - 1) % len(TASKS)].encode() + b"\n")
        elif self.path.startswith(("/pixel", "/ip")):
            self.answer(b"ok\n")
        else:
            super().do_GET()

    def do_POST(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.answer(b"thanks\n")

    do_PUT = do_POST

    def log_message(self, *_):
        pass


class Pool(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            request = json.loads(line)
            result = {"status": "OK"}
            if request["method"] == "login":
                result.update(id="stand-in", job=JOB, extensions=["keepalive"])
            answer = {"id": request["id"], "jsonrpc": "2.0", "error": None, "result": result}
            self.wfile.write(json.dumps(answer).encode() + b"\n")


class Listener(socketserver.BaseRequestHandler):
    """Types as a person would: a line, a look at the answer, the next line."""

    def handle(self):
        self.request.settimeout(1.0)
        for line in TYPED:
            time.sleep(0.8)
            self.request.sendall(line.encode() + b"\n")
            try:
                self.request.recv(65536)
            except TimeoutError:
                pass


class Relay(socketserver.BaseRequestHandler):
    def handle(self):
        with socket.create_connection(("app", 8000), timeout=20) as far:
            answers = threading.Thread(target=self.pump, args=(far, self.request), daemon=True)
            answers.start()
            self.pump(self.request, far)
            answers.join(20)

    @staticmethod
    def pump(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


class TlsServer(Server):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def get_request(self):
        plain, address = super().get_request()
        return self.context.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), address


def main():
    TlsServer.context.load_cert_chain("/srv/tls/cert.pem", "/srv/tls/key.pem")
    servers = [Server(("0.0.0.0", port), Listener) for port in (4444, 8443)]
    servers.append(Server(("0.0.0.0", 3333), Pool))
    servers.append(Server(("0.0.0.0", 8000), Relay))
    servers.append(TlsServer(("0.0.0.0", 443), Pool))
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    pathlib.Path("/tmp/ready").touch()
    http.server.ThreadingHTTPServer(("0.0.0.0", 80), Files).serve_forever()


main()
