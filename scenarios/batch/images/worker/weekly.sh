#!/bin/sh
set -e
cat /srv/done/*.sum 2>/dev/null | sort | gawk '{ sum[$1] += $2 } END { for (r in sum) print r, sum[r] }' >/srv/archive/summary.txt
find / -xdev -name '*.conf' -newer /srv/jobs/run.sh 2>/dev/null | wc -l
du -sh /srv/archive
