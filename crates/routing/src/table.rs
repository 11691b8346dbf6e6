//! The snapshot: trunks, agents, numbers, and what each may be.

mod agent;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use trunkline_sdp::MediaEncryption;
use trunkline_sdp::media::DtmfMethod;
use trunkline_sip::Hop;
use trunkline_sip::digest::Algorithm;

pub use agent::{Agent, Builtin, Connect, Mode, Protocol, RtpAddress, SipPlace};

use crate::{DestinationPattern, E164, NumberPattern, Place, ReferForm, Secret};

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

impl Transport {
    /// The transport of SIP that is meant; `None` for RFC 3263 to find.
    #[must_use]
    pub const fn kind(self) -> Option<trunkline_sip::Transport> {
        match self {
            Self::Auto => None,
            Self::Udp => Some(trunkline_sip::Transport::Udp),
            Self::Tcp => Some(trunkline_sip::Transport::Tcp),
            Self::Tls => Some(trunkline_sip::Transport::Tls),
        }
    }
}

/// What the callees of a trunk see of who calls (RFC 3323, RFC 3325).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the configuration's words")]
pub enum Privacy {
    None,
    Id,
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

/// One of a trunk's addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkAddress {
    /// Host, port and transport.
    pub hop: Hop,
    /// Lower ones are tried first.
    pub priority: u16,
    /// Share of the calls among those of one priority.
    pub weight: u16,
}

/// Our credentials at a carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrunkAuth {
    /// User name.
    pub username: String,
    /// Password.
    pub password: Secret<String>,
    /// Only challenges of this realm are answered.
    pub realm: Option<String>,
}

/// A carrier connection.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trunk {
    /// Name.
    pub name: String,
    /// Which way calls run.
    pub direction: Direction,
    /// Who may call in; empty for anyone.
    pub allowed_addresses: Vec<IpNet>,
    /// Only a verified client certificate that names `address` makes a peer of the trunk.
    pub require_certificate: bool,
    /// Networks that the peers' descriptions may name though they are special, or our own.
    pub media_addresses: Vec<IpNet>,
    /// Callers that may call in; empty for all.
    pub allowed_numbers: Vec<NumberPattern>,
    /// Where calls go out, the preferred first.
    pub addresses: Vec<TrunkAddress>,
    /// How we answer the carrier's challenges, and what callers must show where `challenge` is set.
    pub auth: Option<TrunkAuth>,
    /// Callers must authenticate to us.
    pub challenge: bool,
    /// The hashes that they are asked for, the preferred first (RFC 8760 §2.4).
    pub challenge_algorithms: Vec<Algorithm>,
    /// We REGISTER with the carrier.
    pub register: bool,
    /// For how long we ask to be registered.
    pub register_expires: Duration,
    /// How often each address is asked whether it lives; never where absent.
    pub options_interval: Option<Duration>,
    /// Numbers that may be shown; empty for every number bound to the trunk or to none.
    pub outbound_numbers: Vec<E164>,
    /// What may be dialled; empty for everything but premium ranges.
    pub allowed_destinations: Vec<NumberPattern>,
    /// Emergency numbers and short codes that may be dialled, as they are.
    pub short_codes: Vec<String>,
    /// A 3xx to a call out is followed, to hosts of `addresses` only.
    pub follow_redirects: bool,
    /// Our number stands in P-Asserted-Identity too.
    pub asserted_identity: bool,
    /// What callees see of who calls.
    pub privacy: Privacy,
    /// Most calls out in a second.
    pub calls_per_second: Option<u32>,
    /// Most calls out at once.
    pub max_calls: Option<u32>,
    /// How the carrier wants the target of a transfer written.
    pub refer: ReferForm,
    /// The carrier may have us call somebody (REFER).
    pub accept_refer: bool,
    /// The carrier knows Replaces: a transfer may name a call of ours that it is to take over.
    pub replaces: bool,
    /// Put into every INVITE; carriers take tokens by them.
    pub headers: Secret<Vec<(String, String)>>,
    /// How.
    pub transport: Transport,
    /// SRTP.
    pub media_encryption: MediaEncryption,
    /// Keys may stand in descriptions that anybody on the path can read.
    pub sdes_over_plaintext: bool,
    /// Where encryption is allowed: calls out offer it in its own profile first, and are placed again in the clear
    /// where that is refused.
    pub savp_then_plain: bool,
    /// How keys are pressed.
    pub dtmf: DtmfMethod,
    /// ISO 3166 country in whose format national numbers are read.
    pub destination_country: Option<String>,
    /// SIP header to attribute name.
    pub headers_to_attributes: Vec<(String, String)>,
    /// Limits of all its numbers.
    pub limits: CallLimits,
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
    /// Noise is taken out of what its callers say.
    pub noise_suppression: bool,
    /// Limits.
    pub limits: CallLimits,
    /// Whom its calls may be transferred to; nobody where empty.
    pub allowed_destinations: Vec<DestinationPattern>,
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
    /// The sound files that agents play, and where each is named.
    pub sounds: Vec<(String, Place)>,
    /// Where secrets are written out rather than pointed to.
    pub written_secrets: Vec<Place>,
}

impl RouteTable {
    /// The agent that says "number not in service".
    #[must_use]
    pub fn announcer() -> Arc<Agent> {
        Arc::new(Agent {
            name: "not-in-service".to_owned(),
            mode: Mode::Realtime,
            connect: Connect::Builtin(Builtin::NotInService),
            protocol: Protocol::default(),
            events: false,
            reconnect: Duration::ZERO,
            connect_timeout: Duration::from_secs(5),
            secret: None,
        })
    }

    /// Whether some inbound trunk claims that address or one of the names in the peer's certificate,
    /// so that it is no stranger.
    #[must_use]
    pub fn is_peer(&self, address: std::net::IpAddr, names: &[String]) -> bool {
        let claims = |trunk: &Trunk| trunk.claims(address).is_some() || trunk.is_named(names);
        self.trunks.iter().any(|trunk| trunk.takes_calls() && claims(trunk))
    }

    /// Whether a peer is known before it has authenticated: where a trunk takes anyone who shows its
    /// credentials, that is nobody.
    #[must_use]
    pub fn is_known(&self, address: std::net::IpAddr, names: &[String]) -> bool {
        let open = |trunk: &Trunk| trunk.challenge && trunk.allowed_addresses.is_empty();
        let claims = |trunk: &Trunk| trunk.claims(address).is_some() && !open(trunk) || trunk.is_named(names);
        self.trunks.iter().any(|trunk| trunk.takes_calls() && claims(trunk))
    }
}

/// Whether nobody on the path can read what it carries.
const fn is_hidden(transport: trunkline_sip::Transport) -> bool {
    matches!(
        transport,
        trunkline_sip::Transport::Tls | trunkline_sip::Transport::TlsSctp | trunkline_sip::Transport::Wss
    )
}

impl Trunk {
    /// Whether calls come in over it.
    #[must_use]
    pub const fn takes_calls(&self) -> bool {
        matches!(self.direction, Direction::Inbound | Direction::Both)
    }

    /// Whether calls go out over it.
    #[must_use]
    pub const fn places_calls(&self) -> bool {
        matches!(self.direction, Direction::Outbound | Direction::Both) && !self.addresses.is_empty()
    }

    /// Encryption of a call whose signalling runs over a transport: keys in a description are worth
    /// nothing where others can read it. `None` where encryption is required and cannot be had.
    #[must_use]
    pub fn encryption_over(&self, transport: trunkline_sip::Transport) -> Option<MediaEncryption> {
        let hidden = self.sdes_over_plaintext || is_hidden(transport);
        match self.media_encryption {
            MediaEncryption::Disable => Some(MediaEncryption::Disable),
            MediaEncryption::Allow if !hidden => Some(MediaEncryption::Disable),
            MediaEncryption::Allow => Some(MediaEncryption::Allow),
            MediaEncryption::Require => hidden.then_some(MediaEncryption::Require),
        }
    }

    /// How closely the trunk names that address: the length of the longest prefix that holds it, 0
    /// where the trunk takes anyone; `None` where it does not hold it, asks for a certificate or hears
    /// from its peers only over the flow that it registers on.
    #[must_use]
    pub fn claims(&self, address: std::net::IpAddr) -> Option<u8> {
        if self.require_certificate {
            return None;
        }
        if self.allowed_addresses.is_empty() {
            return (self.challenge || !self.register).then_some(0);
        }
        let holding = self.allowed_addresses.iter().filter(|net| net.contains(&address));
        holding.map(IpNet::prefix_len).max()
    }

    /// Whether what its peers assert of a caller is believed: only where the tables say who they are.
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        self.require_certificate || self.challenge || self.register || !self.allowed_addresses.is_empty()
    }

    /// The host of its first address, as hosts are compared.
    #[must_use]
    pub fn address_host(&self) -> Option<String> {
        self.hosts().next()
    }

    /// The hosts of its addresses.
    pub(crate) fn hosts(&self) -> impl Iterator<Item = String> {
        self.addresses.iter().map(|address| trunkline_sip::format_host(&address.hop.host))
    }

    /// Whether a host is one of its addresses'.
    #[must_use]
    pub fn has_host(&self, host: &str) -> bool {
        self.hosts().any(|own| own.eq_ignore_ascii_case(host))
    }

    /// Whether one of its addresses' hosts is among the names of a verified certificate.
    #[must_use]
    pub fn is_named(&self, names: &[String]) -> bool {
        names.iter().any(|name| self.has_host(name))
    }

    /// Whether a description may name that address though it is special, or one of our own.
    #[must_use]
    pub fn covers_media(&self, address: std::net::IpAddr) -> bool {
        self.allowed_addresses.iter().chain(&self.media_addresses).any(|net| net.contains(&address))
    }
}
