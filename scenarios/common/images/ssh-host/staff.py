"""Staff: sessions on the bastion and, through it, on the nodes, until SIGTERM; then a JSON summary of the exit codes.

Environment: RETROSCOPE_SEED, a number, and RETROSCOPE_PHASES, a JSON list of {name, seconds, rate, burst}: sessions per
second and the chance that a session is followed by one on every node. The phases repeat.
"""

import collections
import json
import os
import random
import signal
import subprocess
import threading
import time

PHASES = json.loads(os.environ["RETROSCOPE_PHASES"])
rng = random.Random(int(os.environ["RETROSCOPE_SEED"]))
stop = threading.Event()
counts = collections.Counter()
began = time.monotonic()

LOOKS = ["uptime", "df -h /", "ls -l /srv/data", "ps -ef | wc -l", "tail -n 3 /srv/data/table-7.csv", "wc -l /srv/data/*.csv", "id"]
NODES = ["node-a", "node-b"]


def phase():
    into = (time.monotonic() - began) % sum(p["seconds"] for p in PHASES)
    for p in PHASES:
        if into < p["seconds"]:
            return p
        into -= p["seconds"]
    return PHASES[-1]


def session(command):
    done = subprocess.run(["ssh", "-i", "/srv/keys/staff", "ops@bastion", command], capture_output=True, timeout=30)
    counts[str(done.returncode)] += 1


def work():
    """One thing that somebody does."""
    dice = rng.random()
    if dice < 0.4:
        session(rng.choice(LOOKS))
    elif dice < 0.8:
        session(f"ssh {rng.choice(NODES)} '{rng.choice(LOOKS)}'")
    elif dice < 0.9:
        session(f"scp -q {rng.choice(NODES)}:/srv/data/table-{rng.randrange(1, 31)}.csv /tmp/ && wc -l /tmp/*.csv && rm /tmp/*.csv")
    else:
        session(f"tar -cz /srv/data | ssh {rng.choice(NODES)} 'cat > /tmp/bastion.tar.gz'")


def day():
    while not stop.is_set():
        now = phase()
        work()
        if rng.random() < now["burst"]:
            for node in NODES:
                session(f"ssh {node} uptime")
        stop.wait(rng.expovariate(now["rate"]))


def main():
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    # As the container's first process it would not even notice a signal that comes before this point.
    open("/tmp/ready", "w").close()
    # A thread, so that a session that hangs does not delay the summary.
    staff = threading.Thread(target=day, daemon=True)
    staff.start()
    while not stop.is_set():
        time.sleep(0.2)
    staff.join(2)
    print(json.dumps(counts), flush=True)


main()
