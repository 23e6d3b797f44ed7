#!/bin/sh
# The container's first process: the proxy and the log rotation, side by side.
trap 'kill -TERM -1; exit 0' TERM INT
nginx -g 'daemon off;' &
/srv/web/rotate.sh &
wait
