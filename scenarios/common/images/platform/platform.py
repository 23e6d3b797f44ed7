"""The platform that a node's agent lives on, as stand-ins that know made-up things only:

  443   an API in the manner of Kubernetes: pods for whoever has the agent's token, and, as in many clusters, secrets too
  80    a metadata service in the manner of clouds: the instance's name, and credentials of its role
"""

import http.server
import json
import pathlib
import ssl
import threading

TOKEN = "Bearer stand-in-token-of-the-agent"
SECRETS = {"items": [{"metadata": {"name": "shop-db"}, "data": {"user": "c2hvcA==", "password": "bWFkZS11cA=="}}]}
PODS = {"items": [{"metadata": {"name": f"shop-{number}"}, "status": {"phase": "Running"}} for number in range(6)]}
API = {"/api/v1/namespaces/shop/pods": PODS, "/api/v1/namespaces/shop/secrets": SECRETS, "/version": {"minor": "29"}}
ROLE = {"AccessKeyId": "MADEUPKEYID", "SecretAccessKey": "made-up", "Token": "made-up", "Code": "Success"}
META = {
    "/latest/meta-data/instance-id": "i-0000madeup",
    "/latest/meta-data/placement/availability-zone": "lab-1a",
    "/latest/meta-data/iam/security-credentials/": "node-role",
    "/latest/meta-data/iam/security-credentials/node-role": json.dumps(ROLE),
    "/latest/user-data": "#!/bin/sh\necho made up\n",
}


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def send(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


class Api(Answers):
    def do_GET(self):
        if self.headers.get("Authorization") != TOKEN:
            self.send(403, b'{"reason":"Forbidden"}')
        else:
            found = API.get(self.path)
            self.send(200 if found else 404, json.dumps(found or {"reason": "NotFound"}).encode())


class Metadata(Answers):
    def do_GET(self):
        found = META.get(self.path)
        self.send(200 if found else 404, (found or "not found").encode())

    def do_PUT(self):
        self.send(200, b"made-up-session")


api = http.server.ThreadingHTTPServer(("0.0.0.0", 443), Api)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/srv/tls/cert.pem", "/srv/tls/key.pem")
# The handshake belongs to the connection's own thread.
api.socket = context.wrap_socket(api.socket, server_side=True, do_handshake_on_connect=False)
threading.Thread(target=api.serve_forever, daemon=True).start()
pathlib.Path("/tmp/ready").touch()
http.server.ThreadingHTTPServer(("0.0.0.0", 80), Metadata).serve_forever()
