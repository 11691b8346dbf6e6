//! What answers a call, and how it is reached.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use trunkline_sdp::RtpFormat;

use crate::{AgentUrl, Secret, Trunk};

/// What an agent does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the configuration's words")]
pub enum Mode {
    Realtime,
    Pipeline,
    Text,
}

/// How an agent is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connect {
    /// One of ours: `builtin:echo`, `builtin:tone`, `builtin:silence`.
    Builtin(Builtin),
    /// WebSocket addresses, tried in order.
    Urls(Vec<AgentUrl>),
    /// The agent opens the socket itself.
    DialIn,
    /// RTP goes to that address and comes from it.
    Rtp(RtpAddress),
    /// The agent is a SIP endpoint.
    Sip(Box<SipPlace>),
}

/// Where an agent that is a SIP endpoint is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SipPlace {
    /// Its address.
    pub address: String,
    /// The trunk that has its host, and with it credentials, transport and encryption.
    pub trunk: Arc<Trunk>,
}

/// Where an agent takes RTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpAddress {
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for RtpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// What an agent's socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Twilio Media Streams: µ-law in JSON.
    #[default]
    Twilio,
    /// Linear samples in binary messages, with JSON beside them, as jambonz and FreeSWITCH send them.
    L16 {
        /// Samples a second: 8000, 16000 or 24000.
        rate: u32,
    },
    /// RTP, with no words around it.
    Rtp(RtpFormat),
}

/// The built-in agents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Builtin {
    /// Sends back what it hears.
    Echo,
    /// 440 Hz.
    Tone,
    /// Hears and says nothing.
    Silence,
    /// Says that the number is not in service, and leaves.
    NotInService,
    /// Plays a WAV file and leaves.
    Announce(String),
}

/// What answers a call.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Agent {
    /// Name.
    pub name: String,
    /// What it does.
    pub mode: Mode,
    /// How it is reached.
    pub connect: Connect,
    /// What its socket speaks.
    pub protocol: Protocol,
    /// It is told of what happens in its call beyond what its protocol says.
    pub events: bool,
    /// For how long it is sought where its connection breaks in mid-call; not at all where zero.
    pub reconnect: Duration,
    /// How long one address may take.
    pub connect_timeout: Duration,
    /// Signs our handshake, and is what a dial-in agent shows.
    pub secret: Option<Secret<String>>,
}
