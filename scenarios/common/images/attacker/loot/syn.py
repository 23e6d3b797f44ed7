"""A stand-in for a bot of a flood: SYN packets from a raw socket, bounded in rate and time, to a private address only.

syn.py HOST PORT RATE SECONDS      at most 200 packets a second for 15 s
"""

import ipaddress
import socket
import struct
import sys
import time


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


target = socket.gethostbyname(sys.argv[1])
port, rate, seconds = int(sys.argv[2]), min(int(sys.argv[3]), 200), min(int(sys.argv[4]), 15)
if not ipaddress.ip_address(target).is_private:
    sys.exit("only private addresses")
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
    probe.connect((target, port))
    own = probe.getsockname()[0]
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP)
for number in range(rate * seconds):
    # Source port, destination port, sequence, acknowledgement, header of 20 bytes, SYN, window, checksum, urgent.
    head = struct.pack("!HHIIBBHHH", 1024 + number % 60000, port, number, 0, 5 << 4, 2, 64240, 0, 0)
    pseudo = socket.inet_aton(own) + socket.inet_aton(target) + struct.pack("!BBH", 0, socket.IPPROTO_TCP, len(head))
    head = head[:16] + struct.pack("!H", checksum(pseudo + head)) + head[18:]
    raw.sendto(head, (target, 0))
    time.sleep(1 / rate)
