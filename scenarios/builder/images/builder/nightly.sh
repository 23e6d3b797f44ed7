#!/bin/sh
folder=$(mktemp -d)
cp /srv/ci/project/*.c /srv/ci/project/Makefile "$folder"
make -C "$folder" -j2 CFLAGS=-O2 test
code=$?
rm -r "$folder"
[ "$code" -eq 0 ] || echo "the sources do not build"
