"""A SIP caller over UDP for the tools beside it: it places one call with a description of its own and says what came back.
Its signalling is as small as it can be, since what is crafted here are RTP and SRTP packets."""
import math, random, re, select, socket, time


class Call:
    """A call to sip:NUMBER@127.0.0.1:PORT, answered; `lines` are more lines of the description."""

    def __init__(self, port, number, profile="RTP/AVP", lines=()):
        self.to = ("127.0.0.1", port)
        self.sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sip.bind(("127.0.0.1", 0))
        self.rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.rtp.bind(("127.0.0.1", 0))
        self.number, self.id, self.tag = number, f"crafted-{random.getrandbits(64):x}", f"{random.getrandbits(32):x}"
        sdp = [
            "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0",
            f"m=audio {self.rtp.getsockname()[1]} {profile} 0 101", "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-16", "a=ptime:20", *lines, "",
        ]
        self.send("INVITE", 1, "\r\n".join(sdp))
        answer = self.final()
        if not answer.startswith("SIP/2.0 200"):
            raise SystemExit(f"refused: {answer.splitlines()[0]}")
        self.peer_tag = re.search(r"\r\nTo:[^\r]*;tag=([^;\r]+)", answer)[1]
        self.target = re.search(r"\r\nContact:\s*<([^>]+)>", answer)[1]
        self.answer = answer.split("\r\n\r\n", 1)[1]
        self.media = ("127.0.0.1", int(re.search(r"m=audio (\d+)", self.answer)[1]))
        self.send("ACK", 1)

    def send(self, method, cseq, body=""):
        host = "%s:%d" % self.sip.getsockname()
        uri = getattr(self, "target", f"sip:{self.number}@127.0.0.1:{self.to[1]}")
        peer = f";tag={self.peer_tag}" if hasattr(self, "peer_tag") else ""
        head = [
            f"{method} {uri} SIP/2.0", f"Via: SIP/2.0/UDP {host};branch=z9hG4bK{random.getrandbits(64):x}",
            "Max-Forwards: 70", f"From: <sip:+14155550199@127.0.0.1>;tag={self.tag}",
            f"To: <sip:{self.number}@127.0.0.1>{peer}", f"Call-ID: {self.id}", f"CSeq: {cseq} {method}",
            f"Contact: <sip:crafted@{host}>",
        ]
        head += ["Content-Type: application/sdp"] if body else []
        self.sip.sendto("\r\n".join([*head, f"Content-Length: {len(body)}", "", body]).encode(), self.to)

    def final(self):
        """The next final answer."""
        self.sip.settimeout(10)
        while True:
            answer = self.sip.recv(65536).decode()
            if answer.startswith("SIP/2.0 ") and answer[8] != "1":
                return answer

    def end(self):
        self.send("BYE", 2)
        self.final()

    def paced(self, packets, heard, every=0.02):
        """Sends packets (or nothing, for None) one each 20 ms; `heard` gets what comes meanwhile, and for a while behind."""
        start, n = time.monotonic(), 0
        for packet in [*packets, *[None] * 10]:
            while (left := start + n * every - time.monotonic()) > 0:
                if select.select([self.rtp], [], [], left)[0]:
                    heard(*self.rtp.recvfrom(2048))
            for one in packet if isinstance(packet, list) else [packet] if packet else []:
                self.rtp.sendto(one, self.media)
            n += 1


def encode(x):
    """A sample in u-law."""
    sign = 0x80 if x < 0 else 0
    m = min(abs(x), 32635) + 0x84
    e = m.bit_length() - 8
    return ~(sign | e << 4 | (m >> (e + 3)) & 15) & 255


def decode(u):
    u = ~u & 255
    v = (((u & 15) << 3) + 0x84 << (u >> 4 & 7)) - 0x84
    return -v if u & 0x80 else v


def tone(hertz, n):
    """The nth 20 ms of a tone."""
    return bytes(encode(int(8000 * math.sin(2 * math.pi * hertz * (n * 160 + i) / 8000))) for i in range(160))


def share(payloads, hertz):
    """How much of the energy of what was heard is at that frequency: 1.0 is that tone and nothing else."""
    x = [decode(b) for p in payloads for b in p]
    whole, at = sum(v * v for v in x), 0.0
    for k in range(0, len(x) - 799, 800):
        w, a, b = 2 * math.cos(2 * math.pi * hertz / 8000), 0.0, 0.0
        for v in x[k:k + 800]:
            a, b = v + w * a - b, a
        at += 2 * (a * a + b * b - w * a * b) / 800
    return round(at / whole, 3) if whole else 0.0
