#!/bin/bash
# visit.sh HOST TEXT...       sends each text to the image service and prints the answer
# visit.sh HOST               customers: photos of changing sizes, for ever
send() {
    exec 3<> "/dev/tcp/$host/7000" || return 1
    printf '%d\n%s' "${#1}" "$1" >&3
    timeout 5 cat <&3
    exec 3>&-
}
host=$1
shift
for text in "$@"; do
    send "$text"
done
[ $# -gt 0 ] && exit 0
size=400
while sleep 0.7; do
    size=$(((size * 7 + 13) % 3000 + 100))
    send "$(head -c "$size" /dev/zero | tr '\0' x)"
done
