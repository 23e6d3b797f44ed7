"""Developers: each deed is a change to the project that the build machine fetches, on the shared volume /srv/inbox."""

import os

import visitors

FOLDER = "/srv/inbox"


def make(rng, number):
    def deed():
        name = rng.choice(["parse", "store", "print", "sum"])
        broken = rng.random() < 0.12
        body = "return nosuch;" if broken else f"return x * {rng.randrange(2, 90)} + {rng.randrange(9)};"
        with open(f"{FOLDER}/.{name}.{number}", "w") as out:
            out.write(f"int {name}(int x) {{ {body} }}\n")
        os.chmod(f"{FOLDER}/.{name}.{number}", 0o666)
        os.rename(f"{FOLDER}/.{name}.{number}", f"{FOLDER}/{name}.c")
        return "broken" if broken else "good"

    return deed


visitors.run(make, visitors=2)
