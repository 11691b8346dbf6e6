//! The snapshot: trunks, agents, numbers, and what each may be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::{E164, NumberPattern, Secret};

/// Which way calls run over a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the configuration's words")]
pub enum Direction {
    Inbound,
    Outbound,
    Both,
}

/// How we reach a trunk's address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the configuration's words")]
pub enum Transport {
    Auto,
    Udp,
    Tcp,
    Tls,
}

/// SRTP on a trunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the configuration's words")]
pub enum MediaEncryption {
    Disable,
    Allow,
    Require,
}

/// Limits that stand on a number or on its trunk; the number's win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CallLimits {
    /// The agent and the logs see a masked caller.
    pub hide_phone_number: Option<bool>,
    /// How long the agent may take to be ready: 1 to 300 s.
    pub ringing_timeout: Option<Duration>,
    /// When a call is ended whatever happens: 60 to 86,400 s.
    pub max_call_duration: Option<Duration>,
}

/// A carrier connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Trunk {
    /// Name.
    pub name: String,
    /// Which way calls run.
    pub direction: Direction,
    /// Who may call in; empty for anyone.
    pub allowed_addresses: Vec<IpNet>,
    /// Networks that media may come from beside the signalling peer's.
    pub media_addresses: Vec<IpNet>,
    /// Callers that may call in; empty for all.
    pub allowed_numbers: Vec<NumberPattern>,
    /// Where calls go out.
    pub address: Option<String>,
    /// How.
    pub transport: Transport,
    /// SRTP.
    pub media_encryption: MediaEncryption,
    /// ISO 3166 country in whose format national numbers are read.
    pub destination_country: Option<String>,
    /// SIP header to attribute name.
    pub headers_to_attributes: Vec<(String, String)>,
    /// Limits of all its numbers.
    pub limits: CallLimits,
}

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
    Urls(Vec<String>),
    /// The agent opens the socket itself.
    DialIn,
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
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Agent {
    /// Name.
    pub name: String,
    /// What it does.
    pub mode: Mode,
    /// How it is reached.
    pub connect: Connect,
    /// How long one address may take.
    pub connect_timeout: Duration,
    /// Signs our handshake, and is what a dial-in agent shows.
    pub secret: Option<Secret<String>>,
}

/// A number of ours.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Number {
    /// The number.
    pub number: E164,
    /// Friendly name.
    pub name: String,
    /// The only trunk it is reached by, where bound to one.
    pub trunk: Option<Arc<Trunk>>,
    /// Inbound slot.
    pub inbound: Option<Arc<Agent>>,
    /// Outbound slot as written; see [`Self::outbound_agent`].
    pub outbound: Option<Arc<Agent>>,
    /// SMS slot as written; see [`Self::sms_agent`].
    pub sms: Option<Arc<Agent>>,
    /// Takes calls and messages.
    pub active: bool,
    /// Limits.
    pub limits: CallLimits,
    /// Handed to the agent with each call.
    pub metadata: Vec<(String, String)>,
}

impl Number {
    /// The outbound slot, which falls back to the inbound one.
    #[must_use]
    pub fn outbound_agent(&self) -> Option<&Arc<Agent>> {
        self.outbound.as_ref().or(self.inbound.as_ref())
    }

    /// The SMS slot, which falls back to the inbound one.
    #[must_use]
    pub fn sms_agent(&self) -> Option<&Arc<Agent>> {
        self.sms.as_ref().or(self.inbound.as_ref())
    }
}

/// The whole table; immutable, replaced as one.
#[derive(Debug, Default)]
pub struct RouteTable {
    /// Trunks in the order of the files.
    pub trunks: Vec<Arc<Trunk>>,
    /// Agents by name.
    pub agents: BTreeMap<String, Arc<Agent>>,
    /// Numbers.
    pub numbers: BTreeMap<E164, Arc<Number>>,
    /// Answers numbers without an inbound agent.
    pub default_agent: Option<Arc<Agent>>,
}

impl RouteTable {
    /// The agent that says "number not in service".
    #[must_use]
    pub fn announcer() -> Arc<Agent> {
        Arc::new(Agent {
            name: "not-in-service".to_owned(),
            mode: Mode::Realtime,
            connect: Connect::Builtin(Builtin::NotInService),
            connect_timeout: Duration::from_secs(5),
            secret: None,
        })
    }

    /// Whether some inbound trunk claims that address, so that it is no stranger.
    #[must_use]
    pub fn is_peer(&self, address: std::net::IpAddr) -> bool {
        self.trunks.iter().any(|trunk| trunk.takes_calls() && trunk.claims(address).is_some())
    }
}

impl Trunk {
    /// Whether calls come in over it.
    #[must_use]
    pub const fn takes_calls(&self) -> bool {
        matches!(self.direction, Direction::Inbound | Direction::Both)
    }

    /// How closely the trunk names that address: the length of the longest prefix that holds it, 0
    /// where the trunk takes anyone; `None` where it does not hold it.
    #[must_use]
    pub fn claims(&self, address: std::net::IpAddr) -> Option<u8> {
        if self.allowed_addresses.is_empty() {
            return Some(0);
        }
        let holding = self.allowed_addresses.iter().filter(|net| net.contains(&address));
        holding.map(IpNet::prefix_len).max()
    }

    /// Whether media may come from and go to that address, beside the signalling peer's own.
    #[must_use]
    pub fn covers_media(&self, address: std::net::IpAddr) -> bool {
        self.allowed_addresses.iter().chain(&self.media_addresses).any(|net| net.contains(&address))
    }
}
