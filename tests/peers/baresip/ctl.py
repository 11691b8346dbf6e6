#!/usr/bin/env python3
"""ctl.py PORT STEP...: drives baresip over ctrl_tcp (JSON in netstrings). STEP = 'command params' | @SECONDS (sleep) | 'wait:EVENT' e.g. wait:CALL_ESTABLISHED.
Prints a line once it is connected, then every event as a JSON line; exit 1 if a wait takes > 20 s."""
import json, socket, sys, time
for _ in range(100):
    try: s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), 1); break
    except OSError: time.sleep(.05)
print('{"connected": true}', flush=True)
buf = b''; seen = []
def take():
    """Takes one message off the buffer; None where no whole one is there."""
    global buf
    n, colon, r = buf.partition(b':')
    if not colon or len(r) <= int(n): return None
    buf = r[int(n) + 1:]
    m = json.loads(r[:int(n)]); print(json.dumps(m), flush=True); seen.append(m)
    return m
def pump(until):
    """Until the next event. Several may have come in one segment: the buffer is looked at before the socket."""
    global buf
    while True:
        while (m := take()) is not None:
            if m.get('event'): return
        w = until - time.monotonic()
        if w <= 0: return
        s.settimeout(w)
        try: d = s.recv(65536)
        except TimeoutError: return
        if not d: return
        buf += d
for st in sys.argv[2:]:
    if st[0] == '@': pump_end = time.monotonic() + float(st[1:]); 
    if st[0] == '@':
        while time.monotonic() < pump_end: pump(pump_end)
    elif st.startswith('wait:'):
        end = time.monotonic() + 20
        while not any(m.get('type') == st[5:] for m in seen):
            if time.monotonic() > end: sys.exit(f'no {st[5:]}')
            pump(end)
    else:
        c, _, p = st.partition(' '); j = json.dumps({'command': c, 'params': p, 'token': st[:8]}).encode(); s.sendall(b'%d:%s,' % (len(j), j))
