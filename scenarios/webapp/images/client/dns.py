"""The scenario's name server: answers for the scenario's own names and knows no others, so that no question leaves.

Environment: RETROSCOPE_NAMES, a JSON object of name to IPv4 address. Wire format: RFC 1035, section 4.
"""

import ipaddress
import json
import os
import socketserver
import struct

NAMES = json.loads(os.environ["RETROSCOPE_NAMES"])
TYPE_A, CLASS_IN = 1, 1
NAME_ERROR = 3
TTL = 5  # s


def answer(query):
    identifier, flags, questions = struct.unpack_from("!HHH", query)
    if flags & 0x8000 or questions != 1:
        return None
    labels, at = [], 12
    while query[at]:
        labels.append(query[at + 1 : at + 1 + query[at]].decode("ascii"))
        at += query[at] + 1
    kind, group = struct.unpack_from("!HH", query, at + 1)
    question = query[12 : at + 5]
    address = NAMES.get(".".join(labels).lower())
    # Response, authoritative, with the question's "recursion desired".
    status = 0x8400 | (flags & 0x0100) | (NAME_ERROR if address is None else 0)
    record = b""
    if address is not None and (kind, group) == (TYPE_A, CLASS_IN):
        # 0xC00C points to the question's name.
        record = struct.pack("!HHHIH", 0xC00C, TYPE_A, CLASS_IN, TTL, 4) + ipaddress.IPv4Address(address).packed
    return struct.pack("!HHHHHH", identifier, status, 1, 1 if record else 0, 0, 0) + question + record


class Server(socketserver.BaseRequestHandler):
    def handle(self):
        query, socket = self.request
        try:
            reply = answer(query)
        except (IndexError, UnicodeDecodeError, struct.error):
            return
        if reply:
            socket.sendto(reply, self.client_address)


with socketserver.UDPServer(("0.0.0.0", 53), Server) as server:
    server.serve_forever()
