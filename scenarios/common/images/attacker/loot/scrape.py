"""Looks for a word in the writable memory of another process of this container, and says where it was.

scrape.py PID WORD
"""

import re
import sys

pid, word = sys.argv[1], sys.argv[2].encode()
found = 0
with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
    for line in maps:
        area = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
        if area:
            start, end = (int(each, 16) for each in area.groups())
            try:
                memory.seek(start)
                found += memory.read(end - start).count(word)
            except OSError:
                continue
print(found)
