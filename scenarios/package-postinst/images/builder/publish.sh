#!/bin/sh
# The package server. publish.sh VERSION makes that one the newest; publish.sh serve answers, and now and then publishes 1.0 or
# 1.1, until something else has been published.
cd /srv/packages || exit 1
publish() {
    cp "libdemo_$1.deb" latest.tmp && mv latest.tmp libdemo_latest.deb
}
if [ "$1" != serve ]; then
    touch frozen
    publish "$1"
    exit
fi
publish 1.0
python3 -m http.server 8000 > /dev/null 2>&1 &
next=1.1
while sleep 13; do
    [ -e frozen ] && continue
    publish $next
    [ $next = 1.1 ] && next=1.0 || next=1.1
done
