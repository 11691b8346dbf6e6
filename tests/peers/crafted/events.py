#!/usr/bin/env python3
"""events.py PORT NUMBER: a call that presses 1 2 3 4 5 6 # by telephone events (RFC 4733) that scapy makes, over a network that
loses, doubles and disorders them. Prints what it pressed."""
import sys

from call import Call, tone
from scapy.all import RTP, raw

call = Call(int(sys.argv[1]), sys.argv[2])
sequence = 0


def audio(count):
    global sequence
    for _ in range(count):
        sequence += 1
        yield raw(RTP(version=2, payload_type=0, sequence=sequence, timestamp=sequence * 160, sourcesync=7) / tone(300, sequence))


def press(key):
    """The packets of one press: five while it is held and three at its end."""
    global sequence
    begin, packets = (sequence + 1) * 160, []
    for n in range(1, 9):
        sequence += 1
        event = bytes(["0123456789*#ABCD".index(key), (0x80 if n > 5 else 0) | 10]) + (min(n, 6) * 160).to_bytes(2, "big")
        marker = 1 if n == 1 else 0
        packets.append(raw(RTP(version=2, marker=marker, payload_type=101, sequence=sequence, timestamp=begin, sourcesync=7) / event))
    return packets


sent = [*audio(20)]
one, two, three, four, five, six, last = (press(key) for key in "123456#")
sent += one
sent += [None] * 4 + two[4:]  # its beginning is lost, the marker too
sent += three[:5] + [None] * 3  # its end is lost, all three packets
sent += [[p, p] for p in four]  # every packet twice
sent += [five[2], five[0], five[1], five[5], five[3], five[7], five[4], five[6]]  # out of order, an end before the middle
sent += [None] * 3 + [six[3]] + [None] * 4  # one packet of eight
sent += last
sent += audio(30)
call.paced(sent, lambda data, source: None)
call.end()
print("123456#")
