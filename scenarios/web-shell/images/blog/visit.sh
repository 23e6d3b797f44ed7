#!/bin/sh
# Readers: posts, the list, and now and then a photo, for ever.
n=1
while sleep 0.6; do
    n=$(((n * 5 + 3) % 27))
    curl -s -o /dev/null "http://blog:8080/index.php?post=$n"
    [ $((n % 4)) -eq 0 ] && curl -s -o /dev/null http://blog:8080/index.php
    [ $((n % 6)) -eq 0 ] && head -c 3000 /dev/zero | curl -s -o /dev/null -F "file=@-;filename=photo-$n.jpg" http://blog:8080/upload.php
    [ $((n % 5)) -eq 0 ] && curl -s -o /dev/null "http://blog:8080/uploads/photo-$n.jpg"
done
