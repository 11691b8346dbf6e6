#!/usr/bin/env python3
"""rtp_agent.py: an agent on plain RTP (numpy; one call).
  --port P                       where it listens; it answers from there, or with --elsewhere from another port
  --codec PCMU | PCMA | L16      --rate HZ (of L16)     --say HZ  its tone      --press KEYS  its key presses, after a second
  --json F  what it heard, written anew every half second
"""
import argparse, json, os, socket, struct, time
import numpy as np

p = argparse.ArgumentParser(); A = p.add_argument
A('--port', type=int, required=True); A('--codec', default='PCMU'); A('--rate', type=int, default=8000)
A('--say', type=float, default=1000); A('--press', default=''); A('--json', required=True); A('--elsewhere', action='store_true')
a = p.parse_args()
TYPE = {'PCMU': 0, 'PCMA': 8, 'L16': 96}[a.codec]; KEYS = '0123456789*#ABCD'

def ulaw(u):
    u = ~u & 255; v = (((u & 15) << 3) + 0x84 << (u >> 4 & 7)) - 0x84
    return -v if u & 0x80 else v
def alaw(b):
    b ^= 0x55; e = b >> 4 & 7; v = ((b & 15) << 4) + (8 if e == 0 else 0x108); v <<= max(0, e - 1)
    return v if b & 0x80 else -v
TABLE = np.array([(alaw if a.codec == 'PCMA' else ulaw)(b) for b in range(256)])
def encode(samples):
    if a.codec == 'L16': return samples.astype('>i2').tobytes()
    return np.abs(TABLE[None, :] - samples[:, None]).argmin(axis=1).astype(np.uint8).tobytes()
def decode(payload): return np.frombuffer(payload, '>i2') if a.codec == 'L16' else TABLE[np.frombuffer(payload, np.uint8)]

def peak(x):
    loud = np.flatnonzero(np.abs(x) > 300)
    if len(loud) < a.rate // 4: return None, 0.0
    x = x[loud[0]:loud[-1]].astype(float); s = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    best = int(s.argmax()); w = max(2, 20 * len(x) // a.rate)
    return round(best * a.rate / len(x), 1), round(float(s[max(0, best - w):best + w].sum() / s.sum()), 3)

s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', a.port)); s.settimeout(0.005)
out = s
if a.elsewhere: out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); out.bind(('127.0.0.1', 0)); out.settimeout(0.005)
to = None; heard = []; steps = []; keys = []; last_key = None; types = {}; last = None; sent = 0; start = None; saved = 0; events = []; moved = 0
def send(pt, ts, payload, marker=0):
    global seq
    out.sendto(struct.pack('!BBHII', 0x80, pt | marker << 7, seq & 0xffff, ts & 0xffffffff, 0x1234) + payload, to); seq += 1
seq = 65530
while True:
    for each in {s, out}:
        try: packet, frm = each.recvfrom(4096)
        except (TimeoutError, ConnectionError): continue
        if each is out and out is not s: moved += 1
        pt = packet[1] & 127; ts = struct.unpack('!I', packet[4:8])[0]; types[str(pt)] = types.get(str(pt), 0) + 1
        if to is None: to = frm; start = time.monotonic()
        if pt == TYPE:
            heard.append(decode(packet[12:]))
            if last is not None: steps.append(ts - last & 0xffffffff)
            last = ts
        elif pt == 101 and ts != last_key: last_key = ts; keys.append(KEYS[packet[12]])
    if to is None: continue
    now = time.monotonic()
    while now - start >= sent * 0.02:
        if sent == 50: events = [(k, sent * a.rate // 50) for k in a.press]
        if events and sent % 10 == 0:
            key, _ = events.pop(0)
            for k in range(4): send(101, sent * a.rate // 50, bytes([KEYS.index(key), 0x80 | 10 if k else 10]) + struct.pack('!H', a.rate // 10), k == 0)
        n = a.rate // 50
        send(TYPE, sent * n, encode(8000 * np.sin(2 * np.pi * a.say * (np.arange(n) + sent * n) / a.rate))); sent += 1
    if now - saved > 0.5 and heard:
        saved = now; x = np.concatenate(heard); hertz, purity = peak(x)
        with open(a.json + '.part', 'w') as f: json.dump(dict(hertz=hertz, purity=purity, seconds=round(len(x) / a.rate, 2), keys=''.join(keys), types=types, steps=sorted(set(steps)), moved=moved), f)
        os.replace(a.json + '.part', a.json)
