#!/bin/sh
set -e
/srv/web/renew.sh first
exec nginx -g 'daemon off;'
