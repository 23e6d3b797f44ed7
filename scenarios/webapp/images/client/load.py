"""Customers: three of them, each with its own seeded habits, until SIGTERM; then a JSON summary of the answers.

Environment: RETROSCOPE_SEED, a number, and RETROSCOPE_PHASES, a JSON list of {name, seconds, rate, burst}: requests per
second of each customer and the chance that a request is followed by a burst of them. The phases repeat.
"""

import collections
import http.client
import json
import os
import random
import signal
import threading
import time
from urllib.parse import quote

SEED = int(os.environ["RETROSCOPE_SEED"])
PHASES = json.loads(os.environ["RETROSCOPE_PHASES"])
TARGET = "web"
WORDS = ["item", "price", "blue", "7", "name", "garden chair"]
SIZES = ["32x32", "64x64", "128x128"]
HOSTS = ["cache", "web", "app"]

stop = threading.Event()
counts = collections.Counter()
lock = threading.Lock()
began = time.monotonic()


def phase():
    into = (time.monotonic() - began) % sum(p["seconds"] for p in PHASES)
    for p in PHASES:
        if into < p["seconds"]:
            return p
        into -= p["seconds"]
    return PHASES[-1]


def photo(rng):
    width, height = rng.choice([(64, 48), (96, 64), (120, 90)])
    return f"P6 {width} {height} 255\n".encode() + rng.randbytes(width * height * 3)


def job(rng):
    kind = rng.choice(["report", "checksum"])
    number = str(rng.randrange(1, 100000))
    if kind == "report":
        return ["--job", kind, "--id", number, "--format", rng.choice(["csv", "text"]), "--input", "/srv/app/data/items"]
    return ["--job", kind, "--id", number, "--input", f"/srv/app/data/items/{rng.randrange(1, 200)}.json"]


def next_request(rng, mine):
    """(method, path, body): what a customer does next. `mine` are the names of its uploads."""
    dice = rng.random()
    if dice < 0.24:
        return "GET", "/", None
    if dice < 0.50:
        return "GET", f"/item?id={rng.randrange(1, 201)}", None
    if dice < 0.58:
        return "GET", rng.choice(["/static/site.css", "/static/logo.svg"]), None
    if dice < 0.66:
        return "GET", f"/search?q={quote(rng.choice(WORDS))}", None
    if dice < 0.76:
        name = f"photo-{rng.randrange(1, 10000):04}.ppm"
        mine.append(name)
        return "POST", f"/upload?name={name}&size={rng.choice(SIZES)}", photo(rng)
    if dice < 0.82 and mine:
        return "GET", f"/thumb?name={rng.choice(mine[-4:])}", None
    if dice < 0.87:
        return "GET", f"/export?id={rng.randrange(1, 1000)}", None
    if dice < 0.93:
        return "POST", "/jobs", json.dumps({"args": job(rng)}).encode()
    if dice < 0.97:
        return "GET", f"/diag?host={rng.choice(HOSTS)}", None
    return "GET", rng.choice(["/favicon.ico", "/item?id=999", "/thumb?name=gone.ppm", "/old/page.html", "/item?id=x"]), None


def customer(number):
    rng = random.Random(SEED * 1000 + number)
    connection = None
    mine = []
    burst = 0
    while not stop.is_set():
        method, path, body = next_request(rng, mine)
        try:
            if connection is None:
                connection = http.client.HTTPConnection(TARGET, 80, timeout=20)
            connection.request(method, path, body)
            response = connection.getresponse()
            response.read()
            outcome = str(response.status)
            # A customer leaves now and then, and comes back on a new connection.
            if response.will_close or rng.random() < 0.15:
                connection.close()
                connection = None
        except (OSError, http.client.HTTPException):
            # The proxy closes idle connections and those of a worker that a reload has retired.
            outcome = "reconnect"
            connection = None
        with lock:
            counts[outcome] += 1
        now = phase()
        if burst == 0 and rng.random() < now["burst"]:
            burst = rng.randrange(3, 9)
        if burst > 0:
            burst -= 1
            stop.wait(0.05)
        else:
            stop.wait(rng.expovariate(now["rate"]))


def main():
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # As the container's first process it would not even notice a signal that comes before this point.
    open("/tmp/ready", "w").close()
    customers = [threading.Thread(target=customer, args=(number,), daemon=True) for number in range(3)]
    for each in customers:
        each.start()
    while not stop.is_set():
        time.sleep(0.2)
    for each in customers:
        each.join(3)
    print(json.dumps(counts), flush=True)


main()
