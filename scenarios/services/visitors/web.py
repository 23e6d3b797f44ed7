"""Visitors of a web service. Arguments: host, port, "tls" or "plain", then paths; `{n}` in a path is a number, and a path after
"POST:" is sent a body of random bytes."""

import http.client
import ssl
import sys

import visitors

HOST, PORT, HOW, *PATHS = sys.argv[1:]


def make(rng, _number):
    state = {"connection": None}

    def connect():
        if HOW == "tls":
            # The authority is the scenario's own and renewed while it runs.
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            return http.client.HTTPSConnection(HOST, int(PORT), timeout=20, context=context)
        return http.client.HTTPConnection(HOST, int(PORT), timeout=20)

    def deed():
        path = rng.choice(PATHS).replace("{n}", str(rng.randrange(1, 200)))
        method, body = "GET", None
        if path.startswith("POST:"):
            method, path, body = "POST", path[5:], rng.randbytes(rng.randrange(100, 4000))
        if state["connection"] is None:
            state["connection"] = connect()
        state["connection"].request(method, path, body)
        response = state["connection"].getresponse()
        response.read()
        if response.will_close or rng.random() < 0.15:
            state["connection"].close()
            state["connection"] = None
        return str(response.status)

    return deed


visitors.run(make)
