#!/bin/sh
# Pack the day's reports and keep the last two days.
cd /srv/app/data/reports || exit 1
cat hour-*.txt > "day-$1.txt"
gzip -9 -f "day-$1.txt"
rm -f hour-*.txt "day-$(($1 - 2)).txt.gz"
