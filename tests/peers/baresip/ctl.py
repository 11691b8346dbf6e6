#!/usr/bin/env python3
"""ctl.py PORT STEP...: drives baresip over ctrl_tcp (JSON in netstrings). STEP = 'command params' | @SECONDS (sleep) | 'wait:EVENT' e.g. wait:CALL_ESTABLISHED.
Prints every event as a JSON line; exit 1 if a wait takes > 10 s."""
import json, socket, sys, time
for _ in range(100):
    try: s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 1); break
    except OSError: time.sleep(.05)
buf = b''; seen = []
def pump(until):
    global buf
    while (w := until - time.monotonic()) > 0:
        s.settimeout(w)
        try: d = s.recv(65536)
        except TimeoutError: return
        if not d: return
        buf += d
        while b':' in buf:
            n, _, r = buf.partition(b':')
            if len(r) <= int(n): break
            m = json.loads(r[:int(n)]); buf = r[int(n) + 1:]; print(json.dumps(m), flush=True); seen.append(m); 
            if m.get('event'): return
for st in sys.argv[2:]:
    if st[0] == '@': pump_end = time.monotonic() + float(st[1:]); 
    if st[0] == '@':
        while time.monotonic() < pump_end: pump(pump_end)
    elif st.startswith('wait:'):
        end = time.monotonic() + 10
        while not any(m.get('type') == st[5:] for m in seen):
            if time.monotonic() > end: sys.exit(f'no {st[5:]}')
            pump(end)
    else:
        c, _, p = st.partition(' '); j = json.dumps({'command': c, 'params': p, 'token': st[:8]}).encode(); s.sendall(b'%d:%s,' % (len(j), j))
