//! The codecs we can carry (RFC 3551 §6, RFC 7587).

/// An audio codec.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711 µ-law, payload type 0.
    Pcmu,
    /// G.711 A-law, payload type 8.
    Pcma,
    /// G.722 at 64 kbit/s, payload type 9.
    G722,
    /// Opus, of a payload type that each side chooses.
    Opus,
}

impl Codec {
    const ALL: [Self; 4] = [Self::Pcmu, Self::Pcma, Self::G722, Self::Opus];

    /// Name in rtpmap and in configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Opus => "opus",
        }
    }

    /// Reads a name as configuration and rtpmap write it.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name))
    }

    /// Payload type: the static one, or the one that we offer.
    #[must_use]
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::G722 => 9,
            Self::Opus => 111,
        }
    }

    /// The codec of a static payload type.
    #[must_use]
    pub fn from_payload_type(payload_type: u8) -> Option<Self> {
        let fixed = [Self::Pcmu, Self::Pcma, Self::G722];
        fixed.into_iter().find(|codec| codec.payload_type() == payload_type)
    }

    /// Steps of its RTP timestamps in a second. G.722 counts 8000 though it has twice as many samples: an
    /// old mistake that stands (RFC 3551 §4.5.2).
    #[must_use]
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma | Self::G722 => 8000,
            Self::Opus => 48_000,
        }
    }

    /// Samples in a second of what it is decoded to.
    #[must_use]
    pub const fn sample_rate(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 8000,
            Self::G722 => 16_000,
            Self::Opus => 48_000,
        }
    }

    /// Whether it is G.711, of which each byte is a sample.
    #[must_use]
    pub const fn is_g711(self) -> bool {
        matches!(self, Self::Pcmu | Self::Pcma)
    }

    /// The value of its rtpmap, behind the payload type. Opus always says two channels (RFC 7587 §7).
    #[must_use]
    pub(crate) const fn encoding(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU/8000",
            Self::Pcma => "PCMA/8000",
            Self::G722 => "G722/8000",
            Self::Opus => "opus/48000/2",
        }
    }

    /// What its fmtp says. Redundancy costs little and hides single losses (RFC 7587 §6.1).
    #[must_use]
    pub(crate) const fn parameters(self) -> Option<&'static str> {
        match self {
            Self::Opus => Some("useinbandfec=1"),
            Self::Pcmu | Self::Pcma | Self::G722 => None,
        }
    }
}

/// What an agent's RTP carries, where it has RTP alone and nobody negotiates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RtpFormat {
    /// G.711 µ-law, payload type 0.
    Pcmu,
    /// G.711 A-law, payload type 8.
    Pcma,
    /// Linear samples in network order (RFC 3551 §4.5.11), payload type 96.
    L16 {
        /// Samples a second: 8000, 16000 or 24000.
        rate: u32,
    },
}

impl RtpFormat {
    /// Its payload type.
    #[must_use]
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => Codec::Pcmu.payload_type(),
            Self::Pcma => Codec::Pcma.payload_type(),
            Self::L16 { .. } => 96,
        }
    }

    /// Steps of its timestamps, and samples, in a second.
    #[must_use]
    pub const fn rate(self) -> u32 {
        match self {
            Self::Pcmu | Self::Pcma => 8000,
            Self::L16 { rate } => rate,
        }
    }
}
