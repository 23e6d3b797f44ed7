"""Those who leave work for a batch: files of records, put onto the shared volume /srv/inbox."""

import os

import visitors

FOLDER = "/srv/inbox"


def make(rng, number):
    def deed():
        name = f"{number}-{rng.randrange(1_000_000):06}"
        rows = rng.randrange(20, 400)
        with open(f"{FOLDER}/.{name}.part", "w") as out:
            for _ in range(rows):
                out.write(f"{rng.randrange(1, 60)},{rng.choice(['north', 'south', 'west'])},{rng.random():.4f}\n")
        os.chmod(f"{FOLDER}/.{name}.part", 0o666)
        os.rename(f"{FOLDER}/.{name}.part", f"{FOLDER}/{name}.csv")
        return "left"

    return deed


visitors.run(make)
