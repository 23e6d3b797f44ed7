"""What all load generators share: seeded visitors in phases until SIGTERM, then a JSON summary of the outcomes.

Environment: RETROSCOPE_SEED, a number, and RETROSCOPE_PHASES, a JSON list of {name, seconds, rate, burst}: deeds per second of
each visitor and the chance that one is followed by a burst of them. The phases repeat.
"""

import collections
import json
import os
import random
import signal
import threading
import time

SEED = int(os.environ["RETROSCOPE_SEED"])
PHASES = json.loads(os.environ["RETROSCOPE_PHASES"])

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


def visitor(number, make):
    rng = random.Random(SEED * 1000 + number)
    deed = make(rng, number)
    burst = 0
    while not stop.is_set():
        try:
            outcome = deed()
        except Exception as error:  # A service that restarts loses its visitors' connections; that is counted, too.
            outcome = type(error).__name__
            deed = make(rng, number)
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


def run(make, visitors=3):
    """`make(rng, number)` gives a visitor's deed: a function that does one thing and returns its outcome in a word."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # As the container's first process it would not even notice a signal that comes before this point.
    open("/tmp/ready", "w").close()
    threads = [threading.Thread(target=visitor, args=(number, make), daemon=True) for number in range(visitors)]
    for each in threads:
        each.start()
    while not stop.is_set():
        time.sleep(0.2)
    # The container is killed 5 s after SIGTERM; who still waits for an answer by then has none.
    end = time.monotonic() + 2
    for each in threads:
        each.join(max(end - time.monotonic(), 0))
    with lock:
        print(json.dumps(counts), flush=True)
    os._exit(0)
