#!/usr/bin/env python3
"""l16_agent.py: an agent of linear audio (jambonz listen, mod_audio_fork) on the `websockets` library.
  --port P                 where to listen; or --dial-in URL --secret S
  --rate HZ                its samples a second        --mode echo | tone (1000 Hz) | sink
  --json F                 what it saw, written at the end of the call and, as far as it goes, at each event
Keys that the caller presses have it: 1 play a whole sound of 700 Hz, half a second (`playAudio`, id s1), with a
mark behind it; 2 say a long tone with a mark behind it and stop it (`killAudio`); 3 press 5# towards the caller;
4 lose the connection; 5 die; 9 `disconnect`.
"""
import argparse, asyncio, base64, json, os
import numpy as np
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve

p = argparse.ArgumentParser(); A = p.add_argument
A('--port', type=int); A('--dial-in'); A('--secret'); A('--rate', type=int, default=8000)
A('--mode', default='echo'); A('--json', required=True); A('--plain', action='store_true')
a = p.parse_args()
NAMES = ['audio.drachtio.org', 'audio.jambonz.org']
calls = []

def save():
    with open(a.json + '.part', 'w') as f: json.dump(calls, f)
    os.replace(a.json + '.part', a.json)

def tone(hz, seconds, at=0):
    t = (np.arange(int(a.rate * seconds)) + at) / a.rate
    return (8000 * np.sin(2 * np.pi * hz * t)).astype('<i2').tobytes()

def peak(samples):
    """The loudest frequency of what sounds, and the share of its neighbourhood in the energy."""
    loud = samples[np.abs(samples) > 300]
    if len(loud) < a.rate // 4: return None, 0.0
    first, last = np.flatnonzero(np.abs(samples) > 300)[[0, -1]]
    x = samples[first:last].astype(float)
    spectrum = np.abs(np.fft.rfft(x * np.hanning(len(x)))) ** 2
    best = int(spectrum.argmax()); width = max(2, 20 * len(x) // a.rate)
    return round(best * a.rate / len(x), 1), round(float(spectrum[max(0, best - width):best + width].sum() / spectrum.sum()), 3)

async def press(socket, seen, key):
    if key == '1':
        content = base64.b64encode(tone(700, 0.5)).decode()
        await socket.send(json.dumps({'type': 'playAudio', 'data': {'audioContent': content, 'audioContentType': 'raw', 'sampleRate': a.rate, 'id': 's1', 'queuePlay': True}}))
        await socket.send(json.dumps({'type': 'mark', 'data': {'name': 'behind'}}))
    elif key == '2':
        await socket.send(tone(900, 5))
        await socket.send(json.dumps({'type': 'mark', 'data': {'name': 'late'}}))
        await asyncio.sleep(0.3)
        await socket.send(json.dumps({'type': 'killAudio'}))
    elif key == '3':
        await socket.send(json.dumps({'event': 'dtmf', 'dtmf': '5#'}))
    elif key == '4':
        socket.transport.abort()
    elif key == '5':
        os._exit(1)
    elif key == '9':
        await socket.send(json.dumps({'type': 'disconnect'}))

async def speak(socket):
    at, loop = 0, asyncio.get_running_loop(); start = loop.time()
    while True:
        await socket.send(tone(1000, 0.1, at)); at += a.rate // 10
        await asyncio.sleep(max(0, start + at / a.rate - loop.time()))

async def agent(socket):
    request = socket.request
    seen = {'subprotocol': socket.subprotocol, 'offered': request.headers.get('Sec-WebSocket-Protocol'),
            'authorization': request.headers.get('Authorization'), 'texts': [], 'sizes': {}, 'ended': None}
    calls.append(seen); save(); heard = bytearray(); speaker = None
    try:
        async for message in socket:
            if isinstance(message, str):
                text = json.loads(message); seen['texts'].append(text)
                if 'callSid' in text and a.mode == 'tone': speaker = asyncio.create_task(speak(socket))
                save()
                if text.get('event') == 'dtmf': await press(socket, seen, text['dtmf'])
                continue
            seen['sizes'][str(len(message))] = seen['sizes'].get(str(len(message)), 0) + 1
            heard += message
            if a.mode == 'echo': await socket.send(message)
    finally:
        if speaker: speaker.cancel()
        seen['ended'] = socket.close_code
        seen['hertz'], seen['purity'] = peak(np.frombuffer(bytes(heard[:len(heard) // 2 * 2]), '<i2'))
        seen['seconds'] = round(len(heard) / 2 / a.rate, 2)
        save()

async def main():
    names = None if a.plain else NAMES
    if a.dial_in:
        while True:
            async with connect(a.dial_in, additional_headers={'Authorization': f'Bearer {a.secret}'}, subprotocols=names) as socket:
                await agent(socket)
    async with serve(agent, '127.0.0.1', a.port, subprotocols=names, max_size=None): await asyncio.Future()

asyncio.run(main())
