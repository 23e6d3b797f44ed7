"""Takes jobs and runs a program for each; what fails is buried. Comes back when the queue was away."""

import os
import signal
import subprocess
import time

from queue_client import Queue

PROGRAMS = {
    "thumbnail": ["sh", "-c", "head -c 20000 /dev/zero | gzip -c > /tmp/thumb-{n}.gz && rm /tmp/thumb-{n}.gz"],
    "mail": ["sh", "-c", "date > /tmp/mail-{n} && rm /tmp/mail-{n}"],
    "invoice": ["python3", "-c", "print(sum(x * x for x in range({n})))"],
    "checksum": ["sha256sum", "/srv/worker/worker.py"],
}


def work(queue):
    answer = queue.ask("reserve-with-timeout 2")
    if answer[0] != "RESERVED":
        return
    identifier, (kind, _, number) = answer[1], queue.body(answer[2]).partition(" ")
    program = PROGRAMS.get(kind)
    if program is None:
        queue.ask(f"bury {identifier} 0")
        return
    subprocess.run([part.replace("{n}", number) for part in program], check=True, stdout=subprocess.DEVNULL)
    queue.ask(f"delete {identifier}")


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
while True:
    try:
        queue = Queue()
        open("/tmp/connected", "w").close()
        while True:
            work(queue)
    except OSError:
        time.sleep(1)
