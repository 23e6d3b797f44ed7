#!/bin/sh
# cron with a compressed clock, a "night" is 20 s: pack the share, rotate the agent's log.
tar -C /srv -czf /var/log/agent/share.tar.gz share
touch -r /var/log/agent/share.tar.gz /srv/share
if [ "$(stat -c %s /var/log/agent/agent.log 2>/dev/null || echo 0)" -gt 4096 ]; then
    mv /var/log/agent/agent.log /var/log/agent/agent.log.1
    gzip -f /var/log/agent/agent.log.1
fi
find /tmp -name 'check-*' -mmin +1 -delete
