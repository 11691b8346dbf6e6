//! The text messages beside linear audio.

use std::borrow::Cow;
use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};
use trunkline_media::{Resampler, linear_to_ulaw};
use tungstenite::Utf8Bytes;

use super::ROOM_RATE;
use crate::said::{FromAgent, one_line, quoted};
use crate::sid::Sids;
use crate::socket::Mark;

/// The highest rate of a sound that comes whole.
const MAX_RATE: u32 = 64_000;

/// What the agent is told first.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// The call's identifiers.
    pub sids: Sids,
    /// The SIP header.
    pub sip_call_id: String,
    /// `inbound` or `outbound`.
    pub direction: &'static str,
    /// Samples a second: 8000 or a multiple of it.
    pub rate: u32,
    /// What every agent is told.
    pub parameters: Vec<(String, String)>,
}

impl Metadata {
    /// The message: the protocol's own keys, and the parameters beside them as far as they are others.
    pub(super) fn message(&self) -> Utf8Bytes {
        let parameter = |name: &str| {
            let found = self.parameters.iter().find(|(known, _)| known == name);
            found.map(|(_, value)| value.as_str()).unwrap_or_default()
        };
        let mut message = json!({
            "callSid": self.sids.call,
            "accountSid": self.sids.account,
            "callId": self.sip_call_id,
            "from": parameter("from_number"),
            "to": parameter("to_number"),
            "direction": self.direction,
            "sampleRate": self.rate,
            "mixType": "mono",
        });
        if let Some(keys) = message.as_object_mut() {
            for (name, value) in &self.parameters {
                keys.entry(name.as_str()).or_insert_with(|| Value::from(value.as_str()));
            }
        }
        text(&message)
    }
}

pub(super) fn digit(digit: char) -> Utf8Bytes {
    text(&json!({ "event": "dtmf", "dtmf": digit.to_string() }))
}

pub(super) fn mark(mark: &Mark, cleared: bool) -> Utf8Bytes {
    let event = if cleared { "cleared" } else { "playout" };
    text(&match mark {
        Mark::Named(name) => json!({ "type": "mark", "data": { "name": name, "event": event } }),
        Mark::SoundPlayed(id) => json!({ "type": "playDone", "data": { "id": id } }),
    })
}

fn text(message: &Value) -> Utf8Bytes {
    Utf8Bytes::from(message.to_string())
}

#[derive(Deserialize)]
struct Message<'a> {
    #[serde(rename = "type", borrow, default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    data: Option<Data<'a>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Data<'a> {
    #[serde(borrow, default)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    audio_content: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    audio_content_type: Option<Cow<'a, str>>,
    #[serde(default)]
    sample_rate: Option<Rate>,
    #[serde(default)]
    id: Option<Id>,
    #[serde(default)]
    queue_play: bool,
}

/// A rate as servers write it: a number, or the same in quotes.
#[derive(Deserialize)]
#[serde(untagged)]
enum Rate {
    Number(u32),
    Text(String),
}

/// A sound's id, likewise.
#[derive(Deserialize)]
#[serde(untagged)]
enum Id {
    Text(String),
    Number(i64),
}

/// Reads a text message; audio in it is decoded into `audio`.
pub fn read<'a>(text: &'a str, audio: &mut Vec<u8>) -> FromAgent<'a> {
    let (kind, data) = match serde_json::from_str::<Message<'a>>(text) {
        Ok(Message { kind: Some(kind), data }) => (kind, data.unwrap_or_default()),
        Ok(Message { kind: None, .. }) => return FromAgent::event(text),
        Err(why) => return FromAgent::Unknown(one_line(&why)),
    };
    match (&*kind, data.name) {
        ("killAudio", _) => FromAgent::Clear,
        ("disconnect", _) => FromAgent::Hangup,
        ("clearMarks", _) => FromAgent::ClearMarks,
        ("mark", Some(name)) => FromAgent::Mark(name),
        ("playAudio", _) => {
            let Some(content) = data.audio_content else {
                return FromAgent::Unknown("playAudio: no audioContent".to_owned());
            };
            let kind = data.audio_content_type.unwrap_or(Cow::Borrowed("raw"));
            match sound(&content, &kind, data.sample_rate, audio) {
                Ok(()) => {
                    let id = data.id.map(|id| match id {
                        Id::Text(id) => id,
                        Id::Number(id) => id.to_string(),
                    });
                    FromAgent::Sound { id, queued: data.queue_play }
                }
                Err(why) => FromAgent::Unknown(format!("playAudio: {why}")),
            }
        }
        (kind, _) => FromAgent::Unknown(format!("type {}", quoted(kind))),
    }
}

/// Decodes a sound that came whole.
fn sound(content: &str, kind: &str, rate: Option<Rate>, audio: &mut Vec<u8>) -> Result<(), String> {
    let bytes = STANDARD.decode(content).map_err(|why| why.to_string())?;
    match kind.rsplit('/').next().unwrap_or(kind) {
        "raw" | "l16" => {
            let rate = match rate {
                Some(Rate::Number(rate)) => rate,
                Some(Rate::Text(text)) => text.parse().map_err(|_| "sampleRate is no number".to_owned())?,
                None => ROOM_RATE,
            };
            let samples = bytes.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]]));
            narrow(samples, rate, audio)
        }
        "wav" | "wave" | "x-wav" => {
            let mut reader = hound::WavReader::new(Cursor::new(bytes)).map_err(|why| why.to_string())?;
            let spec = reader.spec();
            if spec.bits_per_sample != 16 || spec.sample_format != hound::SampleFormat::Int {
                return Err("a WAV has 16-bit samples here".to_owned());
            }
            // Of several channels the first.
            let first =
                reader.samples::<i16>().map_while(Result::ok).step_by(usize::from(spec.channels.max(1)));
            narrow(first, spec.sample_rate, audio)
        }
        other => Err(format!("audioContentType {}: raw or wav", quoted(other))),
    }
}

fn narrow(samples: impl Iterator<Item = i16>, rate: u32, audio: &mut Vec<u8>) -> Result<(), String> {
    if !(ROOM_RATE..=MAX_RATE).contains(&rate) {
        return Err(format!("{rate} Hz is none of {ROOM_RATE} to {MAX_RATE}"));
    }
    audio.clear();
    Resampler::new(rate, ROOM_RATE).run(samples, |sample| audio.push(linear_to_ulaw(sample)));
    Ok(())
}
