//! What an agent says over its socket, whatever the socket's protocol.

use std::borrow::Cow;

use serde::Deserialize;
use trunkline_sdp::control::{AgentAct, AgentAsk};
use trunkline_sdp::media::are_keys;

/// One message of an agent's.
#[derive(Debug, PartialEq, Eq)]
pub enum FromAgent<'a> {
    /// Audio as µ-law, now in the buffer given.
    Media,
    /// A sound that came whole, likewise; it is told of when it was played.
    Sound {
        /// What the agent calls it.
        id: Option<String>,
        /// Behind what was said before, and not in its place.
        queued: bool,
    },
    /// A mark to be given back.
    Mark(Cow<'a, str>),
    /// Throw away what is queued.
    Clear,
    /// Give every mark back now; what is queued stays.
    ClearMarks,
    /// End the call after play-out.
    Hangup,
    /// Press these keys.
    Dtmf(Cow<'a, str>),
    /// Press no more of them.
    DtmfEnd,
    /// Something that the call does.
    Ask(Box<AgentAsk>),
    /// Nothing that is known, and why.
    Unknown(String),
}

/// Longest text of an agent's that is repeated in a log.
const MAX_QUOTED: usize = 64;

/// The name of an event, which says how the rest is read.
#[derive(Deserialize)]
struct Event<'a> {
    #[serde(borrow)]
    event: Cow<'a, str>,
}

impl<'a> FromAgent<'a> {
    /// Reads an event that is the same on every socket: `dtmf`, `hangup`, and what is asked of the call.
    #[must_use]
    pub fn event(text: &'a str) -> Self {
        let Ok(event) = serde_json::from_str::<Event<'a>>(text) else {
            return Self::Unknown("it is no event in JSON".to_owned());
        };
        let read = match &*event.event {
            "dtmf" | "dtmf_end" | "hangup" => serde_json::from_str(text).map(Self::act),
            _ => serde_json::from_str(text).map(|ask| Self::Ask(Box::new(ask))),
        };
        read.unwrap_or_else(|why| Self::Unknown(format!("{}: {}", quoted(&event.event), one_line(&why))))
    }

    fn act(act: AgentAct) -> Self {
        match act {
            AgentAct::Hangup => Self::Hangup,
            AgentAct::DtmfEnd => Self::DtmfEnd,
            AgentAct::Dtmf { dtmf } => match dtmf.into_text() {
                keys if are_keys(&keys) => Self::Dtmf(keys.into()),
                _ => Self::Unknown("dtmf: no keys".to_owned()),
            },
        }
    }
}

/// A text of the agent's as a log may show it: short, and on one line.
pub(crate) fn quoted(text: &str) -> String {
    let short: String = text.chars().take(MAX_QUOTED).collect();
    format!("{short:?}")
}

/// What is wrong with a message; it may hold words of the agent's.
pub(crate) fn one_line(why: &serde_json::Error) -> String {
    why.to_string().replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use trunkline_sdp::control::{Mute, Transfer, TransferMode};

    use super::*;

    fn ask(text: &str) -> AgentAsk {
        match FromAgent::event(text) {
            FromAgent::Ask(ask) => *ask,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn an_agent_asks_in_the_words_of_the_page() {
        let transfer = Transfer { to: "+1415".to_owned(), mode: TransferMode::Warm, ..Transfer::default() };
        assert_eq!(
            ask(r#"{"event":"transfer","streamSid":"MZ","transfer":{"to":"+1415","mode":"warm"}}"#),
            AgentAsk::Transfer { transfer }
        );
        let mute = Mute { participant: "caller".to_owned(), on: true };
        assert_eq!(
            ask(r#"{"event":"mute","mute":{"participant":"caller","on":true}}"#),
            AgentAsk::Mute { mute }
        );
        assert_eq!(FromAgent::event(r#"{"event":"hangup"}"#), FromAgent::Hangup);
        for keys in [r##"{"digit":"12w#"}"##, r##""12w#""##] {
            let text = format!(r#"{{"event":"dtmf","dtmf":{keys}}}"#);
            assert_eq!(FromAgent::event(&text), FromAgent::Dtmf("12w#".into()), "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_says_why_and_stays_on_one_line() {
        for (text, why) in [
            ("nonsense", "no event"),
            ("[]", "no event"),
            (r#"{"event":7}"#, "no event"),
            (r#"{"event":"dtmf"}"#, "missing field"),
            (r#"{"event":"dtmf","dtmf":"x"}"#, "no keys"),
            (r#"{"event":"dance\nnow"}"#, "dance now"),
            (r#"{"event":"transfer"}"#, "missing field"),
            (r#"{"event":"transfer","transfer":{"to":"+1","speed":"fast"}}"#, "speed"),
            (r#"{"event":"record","record":"rewind"}"#, "rewind"),
        ] {
            match FromAgent::event(text) {
                FromAgent::Unknown(told) => {
                    assert!(told.contains(why) && !told.contains('\n'), "{text}: {told}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
