#!/bin/sh
set -e
tar -C /srv/done -cJf "/srv/archive/$(date +%s).tar.xz" .
find /srv/done -name '*.gz' -delete
ls -t /srv/archive/*.tar.xz | tail -n +3 | xargs -r rm
