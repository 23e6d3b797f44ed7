#!/bin/sh
# A crash leaves a pid file behind.
rm -f /var/lib/postgresql/15/main/postmaster.pid
exec pg_ctlcluster --foreground 15 main start
