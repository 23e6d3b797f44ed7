#!/bin/sh
# Builds when something has come in.
trap 'exit 0' TERM
cd /srv/ci/project || exit 1
number=0
while :; do
	if ls /srv/inbox/*.c >/dev/null 2>&1; then
		number=$((number + 1))
		cp /srv/inbox/*.c . && rm -f /srv/inbox/*.c
		if make -j2 test >"/srv/artefacts/$number.log" 2>&1; then
			strip -o "/tmp/program" program && tar -czf "/srv/artefacts/$number.tar.gz" -C /tmp program
		fi
	fi
	touch /tmp/beat
	sleep 1 &
	wait $!
done
