"""beanstalkd's protocol, as far as a worker needs it."""

import socket


class Queue:
    def __init__(self):
        self.socket = socket.create_connection(("queue", 11300), timeout=10)
        self.stream = self.socket.makefile("rb")

    def ask(self, line):
        self.socket.sendall(line.encode() + b"\r\n")
        answer = self.stream.readline().split()
        if not answer:
            raise ConnectionError("closed")
        return [word.decode() for word in answer]

    def body(self, size):
        return self.stream.read(int(size) + 2)[:-2].decode()
