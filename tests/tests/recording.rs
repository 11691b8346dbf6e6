//! Recordings that an agent asks for, and what it is told of the caller's speech.

use std::f64::consts::TAU;
use std::net::TcpListener;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use trunkline_tests::Daemon;
use trunkline_tests::daemon::poll;
use trunkline_tests::peers::call_with_media;
use tungstenite::Message;

/// An agent that asks for a recording and says a tone of 700 Hz; gives its address and what it was sent.
fn agent(seconds: usize) -> (String, std::thread::JoinHandle<Vec<Value>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let heard = std::thread::spawn(move || {
        let (stream, _) = listener.accept().expect("a call");
        let mut socket = tungstenite::accept(stream).expect("a handshake");
        let tone: Vec<u8> =
            (0..8000 * seconds).map(|n| ulaw(6000.0 * (TAU * 700.0 * n as f64 / 8000.0).sin())).collect();
        let media = json!({"event": "media", "media": {"payload": STANDARD.encode(tone)}});
        for message in [json!({"event": "record", "record": "start"}), media] {
            socket.send(Message::text(message.to_string())).expect("sent");
        }
        let mut all = Vec::new();
        while let Ok(message) = socket.read() {
            if let Message::Text(text) = message {
                all.push(serde_json::from_str(&text).expect("JSON"));
            }
        }
        all
    });
    (format!("ws://{address}/"), heard)
}

/// A sample as µ-law.
fn ulaw(sample: f64) -> u8 {
    let sign = if sample < 0.0 { 0x80 } else { 0 };
    let magnitude = sample.abs().min(32_635.0) as u32 + 0x84;
    let exponent = 31 - magnitude.leading_zeros() - 7;
    !(sign | (exponent << 4) as u8 | (magnitude >> (exponent + 3) & 0x0f) as u8)
}

/// Both channels of a WAV file.
fn channels(path: &Path) -> [Vec<f64>; 2] {
    let bytes = std::fs::read(path).expect("the recording");
    let data = bytes.windows(4).position(|tag| tag == b"data").expect("its audio") + 8;
    let side = |offset: usize| {
        let frames = bytes[data..].chunks_exact(4);
        frames.map(|f| f64::from(i16::from_le_bytes([f[offset], f[offset + 1]]))).collect()
    };
    [side(0), side(2)]
}

/// How loud a tone is in a second of it.
fn loudness(samples: &[f64], hertz: f64) -> f64 {
    let (mut re, mut im) = (0.0, 0.0);
    for (n, sample) in samples[8000..16_000].iter().enumerate() {
        let phase = TAU * hertz * n as f64 / 8000.0;
        re += sample * phase.cos();
        im += sample * phase.sin();
    }
    (re * re + im * im).sqrt() / 4000.0
}

fn daemon(url: &str) -> Daemon {
    Daemon::start(&format!(
        "[[trunk]]\nname = \"t\"\nallowed_addresses = [\"127.0.0.1\"]\n[[agent]]\nname = \"bot\"\nconnect = \"{url}\"\nprotocol = \"twilio\"\nevents = true\n[[number]]\nnumber = \"+14155550100\"\ninbound = \"bot\"\n"
    ))
}

#[test]
fn an_agent_has_its_call_recorded_each_side_in_a_channel_and_is_told_of_speech() {
    let (url, heard) = agent(6);
    let mut daemon = daemon(&url);
    let tool = "--hz 300 --secs 3 --expect 700:4 --min-pkts 100";
    let tone = call_with_media(daemon.sip, "+14155550100", tool, 3200, &[]);
    assert_eq!(tone["ok"], true, "{tone}");
    let record = daemon.record();
    let name = format!("{}.wav", record["call_id"].as_str().expect("an id"));
    let path = daemon.folder.join("data/recordings").join(name);
    // It has its name once it is whole.
    poll("the recording", || path.exists().then_some(()));
    let [left, right] = channels(&path);
    assert!(left.len() == right.len() && (20_000..32_000).contains(&left.len()), "{}", left.len());
    for (side, own, other) in [(&left, 300.0, 700.0), (&right, 700.0, 300.0)] {
        let (own, other) = (loudness(side, own), loudness(side, other));
        assert!(own > 2000.0 && other < own / 30.0, "{own} {other}");
    }
    let heard = heard.join().expect("whole");
    let speech = |word: &str| heard.iter().filter(|message| message["event"] == word).count();
    assert_eq!(speech("speech_started"), 1, "the tone began");
}
