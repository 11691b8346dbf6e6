#!/usr/bin/env python3
"""rtp_tool.py: a PCMU endpoint for tests (stdlib only; one process a call).
  --port P [--bind 127.0.0.1]  local RTP port       --to IP:PORT  where to send (without it: symmetric, waits for the first packet)
  --hz 440 | --silent | --echo what to send         --secs N      how long      --speak A:B  the tone from A to B s only
  --expect HZ[:TOL]            exit 1 unless the middle half of what was heard peaks there (Goertzel scan)
  --min-pkts N                 exit 1 unless that many packets came     --json F result  --wav F  what was heard
  --dtmf DIGITS@SEC            RFC 4733 events (payload 101) instead of tone at that time
"""
import argparse, json, math, random, select, socket, struct, sys, time, wave
def enc(x):
    s = 0x80 if x < 0 else 0; m = min(abs(x), 32635) + 0x84; e = m.bit_length() - 8
    return ~(s | e << 4 | (m >> (e + 3)) & 15) & 255
def dec(u):
    u = ~u & 255; v = (((u & 15) << 3) + 0x84 << (u >> 4 & 7)) - 0x84
    return -v if u & 0x80 else v
DEC = [dec(i) for i in range(256)]
def power(x, hz):                       # Goertzel, power relative to the total (1.0 = a pure tone)
    w = 2 * math.cos(2 * math.pi * hz / 8000); a = b = 0.0
    for v in x: a, b = v + w * a - b, a
    tot = sum(v * v for v in x) or 1.0
    return 2 * (a * a + b * b - w * a * b) / (tot * len(x))
def peak(x):                            # the loudest frequency, and its share of the energy, window by window of
    wins = [x[i:i + 800] for i in range(0, len(x) - 799, 800)]      # 0.1 s: a pause of somebody's machine is no other tone
    en = [sum(v * v for v in w) for w in wins]; tot = sum(en)
    if not wins or tot / (800 * len(wins)) < 100: return None, 0.0
    best = wins[max(range(len(wins)), key=en.__getitem__)]
    c = max(range(100, 3900, 2), key=lambda h: power(best, h)); c = max(range(c - 3, c + 4), key=lambda h: power(best, h))
    return c, round(sum(power(w, c) * e for w, e in zip(wins, en)) / tot, 3)
p = argparse.ArgumentParser(); A = p.add_argument
A('--port', type=int, required=True); A('--bind', default='127.0.0.1'); A('--to'); A('--hz', type=float, default=440); A('--silent', action='store_true'); A('--echo', action='store_true')
A('--secs', type=float, default=3); A('--expect'); A('--min-pkts', type=int, default=0); A('--json'); A('--wav'); A('--dtmf', default=''); A('--speak', default='0:1e9')
a = p.parse_args(); first, until = map(float, a.speak.split(':'))
s = socket.socket(socket.AF_INET6 if ':' in a.bind else socket.AF_INET, socket.SOCK_DGRAM); s.bind((a.bind, a.port)); s.setblocking(False)
to = None
if a.to: h, q = a.to.rsplit(':', 1); to = (h, int(q))
dt = [(float(t), d) for d, t in (z.split('@') for z in a.dtmf.split(',') if z)]
ev = None; ssrc = random.getrandbits(32); seq = random.getrandbits(15); ts = random.getrandbits(31)
got = []; sq = []; pts = {}; digits = []; last_ev = None; t0 = time.monotonic(); n = 0; gaps = []; last = None; sent = 0
while n < a.secs * 50:
    due = t0 + n * 0.02
    while (w := due - time.monotonic()) > 0:
        if not select.select([s], [], [], w)[0]: break
        d, frm = s.recvfrom(2048); now = time.monotonic()
        if len(d) < 12 or d[0] >> 6 != 2 or 200 <= d[1] <= 207: continue
        pt = d[1] & 127; pts[pt] = pts.get(pt, 0) + 1; to = to or frm; sq.append(struct.unpack('!H', d[2:4])[0])
        if a.echo: s.sendto(d, frm); sent += 1
        if pt == 0:
            got.append((struct.unpack('!HI', d[2:8]), d[12 + 4 * (d[0] & 15):], round(now - t0, 3)))
            if last: gaps.append(now - last)
            last = now
        elif pt == 101 and len(d) >= 16:
            key = struct.unpack('!I', d[4:8])[0]
            if key != last_ev: last_ev = key; digits.append('0123456789*#ABCD'[d[12] & 15])
    if to and not a.silent and not a.echo:
        if dt and n * 0.02 >= dt[0][0] and not ev: ev = [dt.pop(0)[1], ts, 0]
        if ev:
            ev[2] += 1; k = ev[2]; end = k > 5
            pl = bytes(['0123456789*#ABCD'.index(ev[0]), (0x80 if end else 0) | 10]) + struct.pack('!H', min(k, 6) * 160)
            s.sendto(struct.pack('!BBHII', 0x80, 101 | (0x80 if k == 1 else 0), seq & 0xffff, ev[1], ssrc) + pl, to)
            if k == 8: ev = None
        else:
            pl = bytes(enc(int(8000 * math.sin(2 * math.pi * a.hz * (n * 160 + i) / 8000))) for i in range(160)) if first <= n * 0.02 < until else b'\xff' * 160
            s.sendto(struct.pack('!BBHII', 0x80, 0x80 if n == 0 else 0, seq & 0xffff, ts & 0xffffffff, ssrc) + pl, to)
        seq += 1; sent += 1
    ts += 160; n += 1
raw = b''.join(g[1] for g in got); x = [DEC[b] for b in raw]; mid = x[len(x) // 4: len(x) * 3 // 4]; hz, pur = peak(mid)
lost = sum(max(0, (b - a_ & 0xffff) - 1) for a_, b in zip(sq, sq[1:]) if (b - a_ & 0xffff) < 0x8000)
r = dict(sent=sent, recv=len(got), pts=pts, secs=len(x) / 8000, peak_hz=hz, purity=pur, rms=round(math.sqrt(sum(v * v for v in mid) / max(1, len(mid))), 1), lost=lost,
         digits=''.join(digits), first_at=got[0][2] if got else None, last_at=got[-1][2] if got else None, max_gap_ms=round(max(gaps) * 1000, 1) if gaps else None, peer=to)
ok = len(got) >= a.min_pkts
if a.expect:
    e, _, tol = a.expect.partition(':'); ok = ok and hz is not None and abs(hz - float(e)) <= float(tol or 5) and pur > 0.8
r['ok'] = ok
if a.wav:
    with wave.open(a.wav, 'wb') as w: w.setnchannels(1); w.setsampwidth(2); w.setframerate(8000); w.writeframes(struct.pack('<%dh' % len(x), *x))
j = json.dumps(r); print(j)
if a.json: open(a.json + '.tmp', 'w').write(j + '\n'); import os; os.rename(a.json + '.tmp', a.json)
sys.exit(0 if ok else 1)
