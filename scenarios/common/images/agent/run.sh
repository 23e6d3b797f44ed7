#!/bin/sh
# The container's first process: the agent, the stand-in for the host's container daemon, and the nightly job.
trap 'kill -TERM -1; exit 0' TERM INT
python3 /opt/agent/daemon.py &
python3 /opt/agent/agent.py &
while sleep 20; do
    /opt/agent/nightly.sh
done &
wait
