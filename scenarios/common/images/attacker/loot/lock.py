"""A stand-in for ransomware: it turns over the bits of files and renames them, under /srv/share and nowhere else. That folder
was made by the image for this, and the change is undone by turning the bits over again.

lock.py FILES PAUSE_S SUFFIX      SUFFIX "" keeps the names
"""

import pathlib
import sys
import time

SHARE = pathlib.Path("/srv/share")
FLIP = bytes(255 - number for number in range(256))

limit, pause, suffix = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
for path in sorted(SHARE.glob("report-*.txt"))[:limit]:
    path.write_bytes(path.read_bytes().translate(FLIP))
    if suffix:
        path.rename(f"{path}{suffix}")
    time.sleep(pause)
if suffix:
    (SHARE / "READ-ME.txt").write_text("A stand-in. Your files are as safe as before.\n")
