"""A monitoring agent: GET /check?name=NAME&arg=ARGUMENTS&as=USER runs a plugin and answers with what it printed.

Vulnerable on purpose, as agents that take arguments from the network have been: the arguments are pasted into a shell
command (NRPE's dont_blame_nrpe). Some checks need root; the caller says which.
"""

import http.server
import subprocess
import time
from urllib.parse import parse_qs, urlsplit

LOG = "/var/log/agent/agent.log"


class Check(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        query = {key: values[0] for key, values in parse_qs(urlsplit(self.path).query).items()}
        name, user = query.get("name", ""), query.get("as", "agent")
        if not name.isalpha() or user not in ("agent", "root"):
            return self.answer(400, b"bad request")
        command = f"/opt/agent/plugins/check_{name} {query.get('arg', '')}"
        try:
            done = subprocess.run(command, shell=True, user=user, cwd="/tmp", capture_output=True, timeout=30)
        except subprocess.TimeoutExpired:
            return self.answer(504, b"timeout")
        with open(LOG, "a") as log:
            log.write(f"{time.time():.0f} {self.client_address[0]} {name} {done.returncode}\n")
        self.answer(200, done.stdout)

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("0.0.0.0", 5666), Check).serve_forever()
