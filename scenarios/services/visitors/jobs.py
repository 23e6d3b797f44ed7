"""Those who put jobs into the work queue (beanstalkd's protocol): thumbnails, mails, invoices, and a few that are broken."""

import socket

import visitors


def make(rng, _number):
    connection = socket.create_connection(("queue", 11300), timeout=5)
    stream = connection.makefile("rb")

    def deed():
        kind = rng.choice(["thumbnail", "thumbnail", "mail", "invoice", "checksum"])
        body = f"{kind} {rng.randrange(1, 10000)}" if rng.random() > 0.03 else "nonsense"
        delay = rng.choice([0, 0, 0, 2])
        text = body.encode()
        connection.sendall(b"put %d %d 30 %d\r\n%s\r\n" % (rng.randrange(1, 100), delay, len(text), text))
        line = stream.readline()
        if not line:
            raise ConnectionError("closed")
        return line.split()[0].decode().lower()

    return deed


visitors.run(make)
