#!/bin/sh
# A builder: again and again it fetches the newest dependency, installs it, builds and tests.
work=/tmp/build
while sleep 4; do
    mkdir -p $work && cd $work || exit 1
    curl -fsS -m 5 -o libdemo.deb http://packages:8000/libdemo_latest.deb || continue
    dpkg -i libdemo.deb > install.log 2>&1
    tcc -o main /srv/src/main.c && ./main > test.log
    cd / && rm -r $work
done
