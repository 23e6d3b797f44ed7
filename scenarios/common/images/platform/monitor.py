"""The monitoring server: asks the agent for one check after another until SIGTERM; then a JSON summary of the answers.

Environment: RETROSCOPE_SEED, a number, and RETROSCOPE_PHASES, a JSON list of {name, seconds, rate, burst}: checks per
second and the chance that a check is followed by a round of all of them. The phases repeat.
"""

import collections
import json
import os
import random
import signal
import threading
import time
import urllib.error
import urllib.request
from urllib.parse import urlencode

PHASES = json.loads(os.environ["RETROSCOPE_PHASES"])
rng = random.Random(int(os.environ["RETROSCOPE_SEED"]))
stop = threading.Event()
counts = collections.Counter()
began = time.monotonic()

AGENT = "agent:5666"
PLATFORM = "platform"

# Check, possible arguments, the user it runs as.
CHECKS = [
    ("disk", ["-w 80", "-w 90", "-w 95"], "agent"),
    ("load", ["-w 4", "-w 8"], "agent"),
    ("procs", ["python3", "dockerd"], "agent"),
    ("http", [f"http://{PLATFORM}/latest/meta-data/instance-id"], "agent"),
    ("kube", ["pods"], "root"),
    ("containers", ["json"], "root"),
    ("log", ["-n 20", "-n 50"], "root"),
    ("backup", ["/srv/share"], "agent"),
    ("kernel", ["core_pattern", "hostname"], "root"),
    ("resolve", ["platform", "kubernetes.default.svc", "agent"], "agent"),
]


def phase():
    into = (time.monotonic() - began) % sum(p["seconds"] for p in PHASES)
    for p in PHASES:
        if into < p["seconds"]:
            return p
        into -= p["seconds"]
    return PHASES[-1]


def ask(name, arguments, user):
    query = urlencode({"name": name, "arg": rng.choice(arguments), "as": user})
    try:
        with urllib.request.urlopen(f"http://{AGENT}/check?{query}", timeout=20) as answer:
            answer.read()
            counts[str(answer.status)] += 1
    except urllib.error.HTTPError as error:
        counts[str(error.code)] += 1
    except OSError:
        counts["lost"] += 1


def watch():
    while not stop.is_set():
        now = phase()
        for check in CHECKS if rng.random() < now["burst"] else [rng.choice(CHECKS)]:
            ask(*check)
        stop.wait(rng.expovariate(now["rate"]))


def main():
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # As the container's first process it would not even notice a signal that comes before this point.
    open("/tmp/ready", "w").close()
    # A thread, so that a check that takes its time does not delay the summary.
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    while not stop.is_set():
        time.sleep(0.2)
    watcher.join(2)
    print(json.dumps(counts), flush=True)


main()
