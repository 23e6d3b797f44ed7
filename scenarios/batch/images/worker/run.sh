#!/bin/sh
# Takes what has arrived, a file at a time.
trap 'exit 0' TERM
while :; do
	for file in /srv/inbox/*.csv; do
		[ -e "$file" ] || continue
		name=$(basename "$file" .csv)
		sort -t, -k1n "$file" | uniq >"/tmp/$name.sorted"
		recount "/tmp/$name.sorted" >"/srv/done/$name.sum"
		sha256sum "$file" | cut -d' ' -f1 >>/srv/done/digests
		gzip -c "/tmp/$name.sorted" >"/srv/done/$name.gz"
		rm -f "/tmp/$name.sorted" "$file"
	done
	touch /tmp/beat
	sleep 1 &
	wait $!
done
