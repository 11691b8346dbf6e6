#!/usr/bin/env python3
"""wavcheck.py FILE.wav [HZ[:TOL]]: peak frequency of the loud part of a 16-bit WAV; exit 1 unless it is HZ (stdlib only)."""
import sys, wave, struct, math, json
w = wave.open(sys.argv[1]); r = w.getframerate(); c = w.getnchannels(); d = w.readframes(w.getnframes() or 10**9); d = d[:len(d) // 2 * 2]
x = list(struct.unpack('<%dh' % (len(d) // 2), d))[::c]
B = r // 50; fr = [x[i:i + B] for i in range(0, len(x) - B + 1, B)]; lv = [math.sqrt(sum(v * v for v in f) / B) for f in fr]
loud = [i for i, l in enumerate(lv) if l > 300]
y = [v for i in loud for v in fr[i]]; m = len(y); y = y[m // 4:m * 3 // 4]; W = r // 10
def pw(y, hz):
    k = 2 * math.cos(2 * math.pi * hz / r); a = b = 0.0
    for v in y: a, b = v + k * a - b, a
    return 2 * (a * a + b * b - k * a * b) / ((sum(v * v for v in y) or 1) * len(y))
hz = pur = None
wins = [y[i:i + W] for i in range(0, len(y) - W + 1, W)]     # window by window: a pause of somebody's machine is no other tone
if wins:
    en = [sum(v * v for v in z) for z in wins]; z = wins[max(range(len(wins)), key=en.__getitem__)]
    hz = max(range(100, min(3900, r // 2), 2), key=lambda h: pw(z, h)); hz = max(range(hz - 3, hz + 4), key=lambda h: pw(z, h))
    pur = round(sum(pw(z, hz) * e for z, e in zip(wins, en)) / sum(en), 3)
ok = True
if len(sys.argv) > 2:
    e, _, t = sys.argv[2].partition(':'); ok = hz is not None and abs(hz - float(e)) <= float(t or 5) and pur > 0.8
print(json.dumps(dict(rate=r, channels=c, secs=round(len(x) / r, 2), loud_secs=len(loud) / 50, peak_hz=hz, purity=pur, ok=ok)))
sys.exit(0 if ok else 1)
