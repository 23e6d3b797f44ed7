#!/bin/sh
# A day's schedule in half a minute: logrotate decides by itself whether there is enough to rotate.
while sleep 28; do
    logrotate --state /var/lib/logrotate/status /etc/logrotate.d/nginx
done
