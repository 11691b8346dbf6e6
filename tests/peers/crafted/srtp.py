#!/usr/bin/env python3
"""srtp.py PORT NUMBER SUITE: a call to an echo agent whose SRTP is libsrtp's (pylibsrtp). One after the other: a tone across the
rollover of the sequence number, every packet twice, another SSRC, 10,000 packets that are not authentic, the tone again. A JSON line
says for each what came back; what did not decrypt is counted."""
import base64, json, os, re, struct, sys

from call import Call, share, tone
from pylibsrtp import Error, Policy, Session

SUITES = {
    "AES_CM_128_HMAC_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 30),
    "AES_CM_128_HMAC_SHA1_32": (Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 30),
    "AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 28),
    "AEAD_AES_256_GCM": (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 44),
}
port, number, suite = int(sys.argv[1]), sys.argv[2], sys.argv[3]
profile, length = SUITES[suite]
ours = os.urandom(length)
call = Call(port, number, "RTP/SAVP", [f"a=crypto:1 {suite} inline:{base64.b64encode(ours).decode()}"])
taken, theirs = re.search(r"a=crypto:1 (\S+) inline:([^|\s]+)", call.answer).groups()
assert taken == suite, call.answer
out = Session(Policy(key=ours, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile))
inward = Session(Policy(key=base64.b64decode(theirs), ssrc_type=Policy.SSRC_ANY_INBOUND, srtp_profile=profile))
said, wrong = {}, 0


def heard(packet, source):
    global wrong
    try:
        plain = inward.unprotect(packet)
    except Error:
        wrong += 1
        return
    if plain[1] & 127 == 0:
        said.setdefault(part, []).append(plain[12:])


def packets(ssrc, first, count, hertz):
    for n in range(count):
        sequence = (first + n) & 0xFFFF
        yield out.protect(struct.pack("!BBHII", 0x80, 0, sequence, (first + n) * 160 & 0xFFFFFFFF, ssrc) + tone(hertz, n))


told = {}
part = "rollover"
call.paced(packets(0x11111111, 65486, 100, 600), heard)
part = "twice"
call.paced([[one, one] for one in packets(0x11111111, 65586, 50, 600)], heard)
part = "ssrc"
call.paced(packets(0x22222222, 100, 100, 900), heard)
part = "forged"
forged = [struct.pack("!BBHII", 0x80, 0, 300 + n & 0xFFFF, n * 160, 0x22222222) + os.urandom(170) for n in range(10_000)]
call.paced([forged[at:at + 200] for at in range(0, 10_000, 200)], heard)
part = "after"
call.paced(packets(0x22222222, 200, 100, 900), heard)
for part, hertz in (("rollover", 600), ("twice", 600), ("ssrc", 900), ("after", 900)):
    frames = said.get(part, [])
    told[part] = {"packets": len(frames), "share": share(frames[5:], hertz)}
told["forged"] = {"packets": len(said.get("forged", []))}
call.end()
print(json.dumps({"suite": taken, "wrong": wrong, **told}))
