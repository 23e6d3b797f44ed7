"""Whether this container's own server listens yet: exit code 0 when a connection to the given port succeeds."""

import socket
import sys

socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=2).close()
