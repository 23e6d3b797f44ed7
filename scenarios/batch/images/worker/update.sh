#!/bin/sh
# The newer version, and the older one the next time, so that there is always something to do.
set -e
case $(dpkg-query -W -f '${Version}' recount) in
1.0) dpkg -i /srv/packages/recount_1.1.deb ;;
*) dpkg -i --force-downgrade /srv/packages/recount_1.0.deb ;;
esac
