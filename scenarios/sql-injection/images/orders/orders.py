"""Orders over HTTPS: GET /order?id=N. Vulnerable on purpose: the number is pasted into the statement, and the database's user
may do everything.
"""

import http.server
import ssl
import threading
from urllib.parse import parse_qs, urlsplit

import psycopg2

local = threading.local()


def ask(statement):
    if not hasattr(local, "database"):
        local.database = psycopg2.connect(host="db", user="postgres", dbname="postgres")
        local.database.autocommit = True
    with local.database.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


class Orders(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        query = parse_qs(urlsplit(self.path).query)
        try:
            rows = ask("SELECT item, price::text FROM orders WHERE id = " + query.get("id", ["0"])[0])
            status, text = 200, repr(rows).encode()
        except psycopg2.Error as error:
            status, text = 500, str(error).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("0.0.0.0", 443), Orders)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("/srv/tls/cert.pem", "/srv/tls/key.pem")
# The handshake belongs to the connection's own thread.
server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
