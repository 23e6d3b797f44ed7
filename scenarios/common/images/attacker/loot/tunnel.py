"""A local end of a TLS tunnel: what connects to 127.0.0.1:PORT talks to HOST:443 through TLS. It serves one client.

tunnel.py PORT HOST
"""

import socket
import ssl
import sys
import threading

context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
with socket.create_server(("127.0.0.1", int(sys.argv[1]))) as server:
    server.settimeout(20)
    near, _ = server.accept()
far = context.wrap_socket(socket.create_connection((sys.argv[2], 443)), server_hostname=sys.argv[2])


def pump(source, target):
    while data := source.recv(16384):
        target.sendall(data)
    target.close()


threading.Thread(target=pump, args=(far, near), daemon=True).start()
try:
    pump(near, far)
except OSError:
    pass
