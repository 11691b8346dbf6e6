//! The messages of Twilio Media Streams. Sequence numbers, chunks and timestamps are strings, as
//! Twilio sends them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, BytesMut};
use serde::Deserialize;
use tungstenite::Utf8Bytes;

use crate::said::FromAgent;
use crate::sid::Sids;

/// Writes what the agent is sent, reusing one buffer.
pub struct Writer {
    sids: Sids,
    sequence: u64,
    chunk: u64,
    buffer: BytesMut,
}

/// Room for a media message of 20 ms.
const USUAL_BYTES: usize = 512;

impl Writer {
    /// A writer for one stream.
    #[must_use]
    pub fn new(sids: Sids) -> Self {
        Self { sids, sequence: 0, chunk: 0, buffer: BytesMut::with_capacity(4 * USUAL_BYTES) }
    }

    /// The first message.
    pub fn connected(&mut self) -> Utf8Bytes {
        self.put(r#"{"event":"connected","protocol":"Call","version":"1.0.0"}"#);
        self.finish()
    }

    /// The second message, with the call's parameters, its fields in Twilio's order.
    pub fn start(&mut self, parameters: &[(String, String)]) -> Utf8Bytes {
        self.head("start");
        let Sids { account, call, stream } = self.sids.clone();
        self.put(&format_args!(
            r#","start":{{"accountSid":"{account}","streamSid":"{stream}","callSid":"{call}","tracks":["inbound"],"mediaFormat":{{"encoding":"audio/x-mulaw","sampleRate":8000,"channels":1}},"customParameters":{{"#
        ));
        for (at, (name, value)) in parameters.iter().enumerate() {
            let (name, value) = (serde_json::Value::from(&**name), serde_json::Value::from(&**value));
            let comma = if at == 0 { "" } else { "," };
            self.put(&format_args!("{comma}{name}:{value}"));
        }
        self.put("}}}");
        self.finish()
    }

    /// Audio of the caller; `timestamp` in milliseconds since the start.
    pub fn media(&mut self, audio: &[u8], timestamp: u64) -> Utf8Bytes {
        self.head("media");
        self.chunk += 1;
        let chunk = self.chunk;
        self.put(&format_args!(
            r#","media":{{"track":"inbound","chunk":"{chunk}","timestamp":"{timestamp}","payload":""#
        ));
        let at = self.buffer.len();
        let length = base64::encoded_len(audio.len(), true).unwrap_or(0);
        self.buffer.resize(at + length, 0);
        let written = STANDARD.encode_slice(audio, &mut self.buffer[at..]).unwrap_or(0);
        self.buffer.truncate(at + written);
        self.put("\"}}");
        self.finish()
    }

    /// A key press.
    pub fn dtmf(&mut self, digit: char) -> Utf8Bytes {
        self.head("dtmf");
        self.put(&format_args!(r#","dtmf":{{"track":"inbound_track","digit":"{digit}"}}}}"#));
        self.finish()
    }

    /// A mark given back.
    pub fn mark(&mut self, name: &str) -> Utf8Bytes {
        self.head("mark");
        let name = serde_json::Value::from(name);
        self.put(&format_args!(r#","mark":{{"name":{name}}}}}"#));
        self.finish()
    }

    /// The last message.
    pub fn stop(&mut self) -> Utf8Bytes {
        self.head("stop");
        let (account, call) = (self.sids.account.clone(), self.sids.call.clone());
        self.put(&format_args!(r#","stop":{{"accountSid":"{account}","callSid":"{call}"}}}}"#));
        self.finish()
    }

    fn head(&mut self, event: &str) {
        self.buffer.reserve(USUAL_BYTES);
        self.sequence += 1;
        let sequence = self.sequence;
        self.put(&format_args!(r#"{{"event":"{event}","sequenceNumber":"{sequence}","streamSid":""#));
        let stream = std::mem::take(&mut self.sids.stream);
        self.put(&stream);
        self.sids.stream = stream;
        self.put("\"");
    }

    fn put(&mut self, text: &(impl std::fmt::Display + ?Sized)) {
        use std::io::Write;
        // Writing to memory cannot fail.
        let _ = write!((&mut self.buffer).writer(), "{text}");
    }

    /// The message; the buffer is taken up again once it was sent.
    fn finish(&mut self) -> Utf8Bytes {
        let bytes = self.buffer.split().freeze();
        Utf8Bytes::try_from(bytes).unwrap_or_default()
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
    #[serde(borrow)]
    media: Option<WireMedia<'a>>,
    #[serde(borrow)]
    mark: Option<WireMark<'a>>,
}

#[derive(Deserialize)]
struct WireMedia<'a> {
    #[serde(borrow)]
    payload: Cow<'a, str>,
}

#[derive(Deserialize)]
struct WireMark<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
}

/// Reads a message; audio is decoded into `audio`.
pub fn read<'a>(text: &'a str, audio: &mut Vec<u8>) -> FromAgent<'a> {
    let Ok(wire) = serde_json::from_str::<Wire<'a>>(text) else {
        return FromAgent::event(text);
    };
    match (&*wire.event, wire.media, wire.mark) {
        ("media", Some(media), _) => {
            audio.resize(base64::decoded_len_estimate(media.payload.len()), 0);
            match STANDARD.decode_slice(media.payload.as_bytes(), audio) {
                Ok(length) => {
                    audio.truncate(length);
                    FromAgent::Media
                }
                Err(why) => FromAgent::Unknown(format!("media: {why}")),
            }
        }
        ("mark", _, Some(mark)) => FromAgent::Mark(mark.name),
        ("clear", ..) => FromAgent::Clear,
        _ => FromAgent::event(text),
    }
}

#[cfg(test)]
mod tests;
