#!/usr/bin/env python3
"""strangers.py PORT NUMBER: a call to an echo agent. While the caller says a tone, packets that scapy makes come from another
address: another tone under the caller's own SSRC and ahead of its sequence, RTP with fields at random, RTCP that takes leave for it.
A JSON line says what the caller heard, and what the stranger was sent."""
import json, select, socket, sys

from call import Call, share, tone
from scapy.all import RTP, fuzz, raw

call = Call(int(sys.argv[1]), sys.argv[2])
said, to_stranger = [], 0
SSRC = 0x5EAF00D


def packet(n, hertz, ahead=0):
    return raw(RTP(version=2, payload_type=0, sequence=n + ahead, timestamp=n * 160, sourcesync=SSRC) / tone(hertz, n))


def heard(data, source):
    if data[1] & 127 == 0:
        said.append(data[12:])


stranger = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
stranger.bind(("127.0.0.66", 0))
# The caller is known first.
call.paced((packet(n, 600) for n in range(50)), heard)
before = len(said)


def with_stranger(first, count):
    """The caller's packets, and right behind each those of the stranger."""
    for n in range(first, first + count):
        stranger.sendto(packet(n, 1500, ahead=3), call.media)
        stranger.sendto(raw(fuzz(RTP(version=2))) + b"\x00" * (n % 40), call.media)
        stranger.sendto(bytes([0x81, 203, 0, 1]) + SSRC.to_bytes(4, "big"), (call.media[0], call.media[1] + 1))
        yield packet(n, 600)


call.paced(with_stranger(50, 150), heard)
while select.select([stranger], [], [], 0)[0]:
    stranger.recv(2048)
    to_stranger += 1
# From the stranger alone: it does not get the call by talking on.
for n in range(200, 260):
    stranger.sendto(packet(n, 1500), call.media)
call.paced([None] * 20 + [packet(n, 600) for n in range(260, 310)], heard)
while select.select([stranger], [], [], 0)[0]:
    stranger.recv(2048)
    to_stranger += 1
call.end()
print(json.dumps({
    "packets": len(said), "before": before, "own": share(said[5:], 600), "strange": share(said[5:], 1500),
    "to_stranger": to_stranger,
}))
