#!/bin/sh
# The container's first process: the application server and the job scheduler, side by side.
trap 'kill -TERM -1; exit 0' TERM INT
gunicorn --bind 0.0.0.0:8000 --workers 2 --preload --max-requests 90 --max-requests-jitter 30 app:application &
/srv/app/jobs/scheduler.sh &
wait
