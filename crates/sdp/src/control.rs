//! What an agent asks of its call beside speaking, and what it is told of it, whatever the protocol of
//! its socket. The words are those of the JSON events (`docs/agents.md`); `docs/agent-events.schema.json` is
//! made of these types, and a test keeps the two in step.

use serde::{Deserialize, Serialize};

/// What an agent does with the call by itself.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum AgentAct {
    /// Press keys towards the caller.
    Dtmf {
        /// Which: `0` to `9`, `*`, `#`, `A` to `D`, `w` and `W` for pauses of half a second and of one.
        dtmf: Keys,
    },
    /// Press no more keys: those that wait are dropped, the one that is pressed is let go.
    DtmfEnd,
    /// End the call once what was said was played.
    Hangup,
}

/// Keys as Twilio's messages hold them, or as jambonz's do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(untagged)]
pub enum Keys {
    /// In an object.
    Named {
        /// The keys.
        digit: String,
    },
    /// Alone.
    Plain(String),
}

impl Keys {
    /// The keys alone.
    #[must_use]
    pub fn into_text(self) -> String {
        let (Self::Named { digit: text } | Self::Plain(text)) = self;
        text
    }
}

/// What an agent asks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum AgentAsk {
    /// Put the caller through.
    Transfer {
        /// To whom and how.
        transfer: Transfer,
    },
    /// The agent is done talking to who is called in a warm transfer: the caller is joined with it.
    TransferComplete {
        /// How.
        #[serde(default)]
        transfer_complete: Completion,
    },
    /// Give the transfer up: the caller comes back to the agent.
    TransferCancel,
    /// Have nobody hear a participant, or hear it again.
    Mute {
        /// Whom.
        mute: Mute,
    },
    /// The recording.
    Record {
        /// What to do with it.
        record: Recording,
    },
    /// Play a sound of the gateway.
    Play {
        /// Which.
        play: Play,
    },
    /// A piece of the conversation as text, for the call's record.
    Transcript {
        /// Who said what.
        transcript: Transcript,
    },
}

/// How somebody is put through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum TransferMode {
    /// The carrier is asked to (REFER); the call leaves us.
    #[default]
    Cold,
    /// A second leg is called and joined with the first REFER … Replaces.
    Attended,
    /// The agent talks to the one who is called before the caller does.
    Warm,
    /// We call the other side and stay in the path.
    Bridge,
}

/// What happens where the carrier refuses a transfer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// The call stays with the agent.
    #[default]
    None,
    /// We place the second leg ourselves and join the two.
    Bridge,
}

/// A transfer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Transfer {
    /// A number, a `tel:` or a `sip:` address.
    pub to: String,
    /// How.
    #[serde(default)]
    pub mode: TransferMode,
    /// What follows a refusal.
    #[serde(default)]
    pub fallback: Fallback,
    /// The one who is called presses a key before the two are joined.
    #[serde(default)]
    pub requires_confirmation: bool,
    /// The one who is called enters this before the two are joined.
    #[serde(default)]
    #[cfg_attr(test, schemars(regex(pattern = r"^[0-9*#A-D]{1,32}$")))]
    pub passcode: Option<String>,
    /// How long it may ring, seconds; the number's where absent.
    #[serde(default)]
    #[cfg_attr(test, schemars(range(min = 1, max = 300)))]
    pub ringing_timeout_seconds: Option<u64>,
    /// The caller hears nothing while it waits, instead of music or of the telephone that rings.
    #[serde(default)]
    pub silent: bool,
}

impl Transfer {
    /// What is out of bounds; an agent may ask for anything.
    #[must_use]
    pub fn fault(&self) -> Option<&'static str> {
        let key = |byte: u8| matches!(byte, b'0'..=b'9' | b'*' | b'#' | b'A'..=b'D');
        let keys = |code: &String| (1..=32).contains(&code.len()) && code.bytes().all(key);
        if !self.passcode.as_ref().is_none_or(keys) {
            return Some("passcode is 1 to 32 of 0-9 * # A-D");
        }
        let seconds = |seconds: u64| (1..=300).contains(&seconds);
        (!self.ringing_timeout_seconds.is_none_or(seconds)).then_some("ringing_timeout_seconds is 1 to 300")
    }
}

/// How a warm transfer is completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Completion {
    /// All three talk to one another; else the agent leaves.
    #[serde(default)]
    pub agent_stays: bool,
}

/// Whom to mute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Mute {
    /// `caller`, `agent`, or the name that `participant_joined` gave.
    pub participant: String,
    /// Muted, or heard again.
    pub on: bool,
}

/// What becomes of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Recording {
    /// Begin.
    Start,
    /// Leave out what follows.
    Pause,
    /// Go on.
    Resume,
    /// End.
    Stop,
}

/// A sound to play.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
pub struct Play {
    /// A WAV file below the sounds folder; `music` for the shipped music; empty to stop.
    pub sound: String,
    /// Who hears it; the caller where absent.
    #[serde(default)]
    pub participant: Option<String>,
    /// Over and over.
    #[serde(default)]
    pub repeat: bool,
}

/// A piece of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Transcript {
    /// `caller`, `agent`.
    pub participant: String,
    /// What was said.
    pub text: String,
    /// Milliseconds since the answer.
    #[serde(default)]
    pub at_ms: u64,
}

/// What an agent is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum AgentNews {
    /// What came of its transfer.
    TransferResult {
        /// The outcome.
        transfer_result: TransferResult,
    },
    /// Somebody came into the room.
    ParticipantJoined {
        /// Who.
        participant: String,
    },
    /// Somebody left it.
    ParticipantLeft {
        /// Who.
        participant: String,
    },
    /// The caller holds the call, or has come back.
    Hold {
        /// Held.
        on: bool,
    },
    /// The caller began to speak.
    SpeechStarted,
    /// The caller stopped speaking.
    SpeechStopped,
}

/// How a transfer came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct TransferResult {
    /// The caller was put through.
    pub ok: bool,
    /// The SIP code that settled it, where one did.
    pub code: Option<u16>,
    /// Why, in a sentence.
    pub reason: String,
}

#[cfg(test)]
mod tests;
