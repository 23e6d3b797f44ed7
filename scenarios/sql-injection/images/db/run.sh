#!/bin/sh
exec /usr/lib/postgresql/*/bin/postgres -D /srv/db -c listen_addresses='*' -c shared_buffers=16MB -c unix_socket_directories=/tmp
