#!/bin/sh
# cron with a compressed clock: an "hour" is 18 s, a "day" three of them.
hour=0
while sleep 18; do
    hour=$((hour + 1))
    /srv/app/jobs/hourly.sh "$hour"
    if [ $((hour % 3)) -eq 0 ]; then
        /srv/app/jobs/daily.sh "$((hour / 3))"
    fi
done
