"""Users of a key-value store: sessions, counters, queues and sorted sets, over the store's own protocol (RESP)."""

import socket

import visitors


def make(rng, number):
    connection = socket.create_connection(("store", 6379), timeout=5)
    stream = connection.makefile("rb")

    def ask(*words):
        text = b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in (str(word).encode() for word in words))
        connection.sendall(b"*%d\r\n%s" % (len(words), text))
        return answer()

    def answer():
        line = stream.readline()
        if not line:
            raise ConnectionError("closed")
        kind, rest = line[:1], line[1:].strip()
        if kind == b"$":
            return stream.read(int(rest) + 2)[:-2] if int(rest) >= 0 else None
        if kind == b"*":
            return [answer() for _ in range(max(int(rest), 0))]
        if kind == b"-":
            return Exception(rest.decode())
        return rest

    def deed():
        user, dice = rng.randrange(1, 400), rng.random()
        if dice < 0.3:
            ask("SET", f"session:{user}", rng.randbytes(120).hex(), "EX", 60)
            return "session"
        if dice < 0.6:
            return "hit" if ask("GET", f"session:{user}") else "miss"
        if dice < 0.75:
            ask("INCRBY", f"views:{rng.randrange(1, 40)}", rng.randrange(1, 5))
            return "count"
        if dice < 0.9:
            ask("LPUSH", "jobs", f"job {user}")
            ask("LTRIM", "jobs", 0, 50)
            return "queue"
        if dice < 0.97:
            ask("ZADD", "best", rng.randrange(1000), f"user:{user}")
            ask("ZREVRANGE", "best", 0, 10)
            return "rank"
        return "refused" if isinstance(ask("LPUSH", f"session:{user}", "x"), Exception) else "pushed"

    return deed


visitors.run(make)
