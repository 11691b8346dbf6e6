//! Offer and answer (RFC 3264) for one audio stream.
//!
//! Two steps, because the port comes in between: [`select`] looks at what the peer offers and
//! says whether anything fits; once a port is open [`answer`] mirrors the offer line for line, with
//! port 0 on all that was not selected. [`offer`] and [`accept`] are the same the other way round.

use std::net::{IpAddr, SocketAddr};

use crate::crypto::{CryptoLine, KeySeed, SrtpKeys, Suite};
use crate::{Attribute, Codec, Description, Direction, Media};

/// Payload types of the telephone events in our offers, by the clock rate of the codecs beside which
/// they stand (RFC 4733 §2.1).
const EVENT_PAYLOAD_TYPES: [(u32, u8); 2] = [(8000, 101), (48_000, 110)];
/// Packet times that we send, in milliseconds.
const PTIMES: std::ops::RangeInclusive<u32> = 10..=60;

/// Whether media is encrypted (SRTP with keys in the description).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MediaEncryption {
    /// Never.
    #[default]
    Disable,
    /// Where the peer wants it too (RFC 8643).
    Allow,
    /// Always, or there is no call.
    Require,
}

/// What we agree to.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Codecs, the preferred first.
    pub codecs: &'a [Codec],
    /// Encryption, as this peer's signalling allows it.
    pub encryption: MediaEncryption,
    /// What our keys are made from.
    pub keys: &'a KeySeed,
}

/// Codecs in the clear.
impl<'a, T: AsRef<[Codec]> + ?Sized> From<&'a T> for Terms<'a> {
    fn from(codecs: &'a T) -> Self {
        const NO_KEYS: &KeySeed = &KeySeed::new([0; 32]);
        Self { codecs: codecs.as_ref(), encryption: MediaEncryption::Disable, keys: NO_KEYS }
    }
}

/// What was agreed on for the audio stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    /// Which m-line of the offer.
    pub line: usize,
    /// Codec of both directions.
    pub codec: Codec,
    /// Its payload type.
    pub payload_type: u8,
    /// Payload type of telephone events, where agreed (RFC 4733).
    pub events: Option<u8>,
    /// Their clock rate: the codec's, or else the one that the peer has events of.
    pub events_rate: u32,
    /// Packet time towards the peer in milliseconds, 10 to 60.
    pub ptime: u32,
    /// Where the peer wants RTP; `None` while it wants none (0.0.0.0) or wrote a name.
    pub remote: Option<SocketAddr>,
    /// Where the peer wants RTCP.
    pub remote_rtcp: Option<SocketAddr>,
    /// RTCP shares the port of RTP (RFC 5761).
    pub rtcp_mux: bool,
    /// Our direction.
    pub direction: Direction,
    /// Keys, where it is encrypted.
    pub srtp: Option<SrtpKeys>,
}

/// Our side of the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LocalMedia {
    /// The address that the peer is told.
    pub address: IpAddr,
    /// RTP port.
    pub port: u16,
    /// `sess-id`: constant for the dialog.
    pub session_id: u64,
    /// `sess-version`: rises by one when, and only when, the description changes.
    pub session_version: u64,
}

/// Why nothing was agreed on: 488.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NegotiateError {
    /// No audio line with a port and a plain RTP profile.
    #[error("no usable audio line")]
    NoAudio,
    /// Only encrypted audio is offered, and we have no use for it or for its keys.
    #[error("only SRTP is offered")]
    OnlyEncrypted,
    /// Audio in the clear where it must be encrypted.
    #[error("media must be encrypted")]
    NotEncrypted,
    /// No codec of ours.
    #[error("no codec in common")]
    NoCodec,
    /// An answer that does not mirror our offer.
    #[error("the answer does not fit the offer")]
    BadAnswer,
}

/// Chooses an audio line and a codec from an offer. Codecs are tried in the order of the terms
/// within the offer; the first audio line that fits wins.
///
/// # Errors
/// See [`NegotiateError`].
pub fn select<'a>(offer: &Description, terms: impl Into<Terms<'a>>) -> Result<Selection, NegotiateError> {
    let terms = terms.into();
    let mut problem = NegotiateError::NoAudio;
    for (line, media) in offer.media.iter().enumerate() {
        let Some(secure) = profile(media) else { continue };
        let keys = select_keys(media, &terms);
        match (secure, terms.encryption, keys) {
            (true, _, None) => problem = NegotiateError::OnlyEncrypted,
            (false, MediaEncryption::Require, None) => problem = NegotiateError::NotEncrypted,
            (true | false, _, srtp) => match select_codec(media, terms.codecs) {
                Some(chosen) => return Ok(Selection { srtp, ..selection(offer, line, chosen) }),
                None => problem = NegotiateError::NoCodec,
            },
        }
    }
    Err(problem)
}

/// Whether the profile of an audio line says that it is encrypted; `None` where the line is refused or
/// is none of ours.
fn profile(media: &Media) -> Option<bool> {
    if media.kind != "audio" || media.port == 0 {
        return None;
    }
    match media.protocol.as_str() {
        "RTP/AVP" | "RTP/AVPF" => Some(false),
        "RTP/SAVP" | "RTP/SAVPF" => Some(true),
        _ => None,
    }
}

/// The peer's first keys that we can use, and our own beside them.
fn select_keys(media: &Media, terms: &Terms<'_>) -> Option<SrtpKeys> {
    if terms.encryption == MediaEncryption::Disable {
        return None;
    }
    let line = CryptoLine::all(media).next()?;
    Some(SrtpKeys { tag: line.tag, local: terms.keys.master_key(line.key.suite()), remote: line.key })
}

/// The answer to `offer`: every m-line in its order, port 0 on all but the selected one.
#[must_use]
pub fn answer(offer: &Description, selection: &Selection, local: &LocalMedia) -> String {
    let media = offer.media.iter().enumerate().map(|(index, offered)| {
        if index == selection.line {
            return audio_line(&offered.protocol, selection, local.port);
        }
        Media {
            port: 0,
            attributes: Vec::new(),
            connection: None,
            formats: offered.formats.iter().take(1).cloned().collect(),
            ..offered.clone()
        }
    });
    describe(local, media.collect())
}

/// An offer of ours, with every codec and telephone events. Where encryption is allowed but not required the
/// line is a plain one with keys, which a peer that knows nothing of them passes over (RFC 8643 §3).
#[must_use]
pub fn offer<'a>(terms: impl Into<Terms<'a>>, direction: Direction, local: &LocalMedia) -> String {
    let terms = terms.into();
    let (profile, suites) = match terms.encryption {
        MediaEncryption::Disable => ("RTP/AVP", &[][..]),
        MediaEncryption::Allow => ("RTP/AVP", &Suite::ALL[..]),
        MediaEncryption::Require => ("RTP/SAVP", &Suite::ALL[..]),
    };
    let mut media = audio_media(profile, local.port);
    for codec in terms.codecs {
        put_codec(&mut media, codec.payload_type(), *codec);
    }
    for (rate, payload_type) in EVENT_PAYLOAD_TYPES {
        if terms.codecs.iter().any(|codec| codec.clock_rate() == rate) {
            put_events(&mut media, payload_type, rate);
        }
    }
    for (tag, suite) in (1..).zip(suites) {
        put_key(&mut media, CryptoLine { tag, key: terms.keys.master_key(*suite) });
    }
    put_ptime(&mut media, 20, terms.codecs.contains(&Codec::Opus));
    media.attributes.push(Attribute { name: direction.name().to_owned(), value: None });
    describe(local, vec![media])
}

/// Takes the peer's answer to our [`offer`].
///
/// # Errors
/// Where it refuses the line, names a codec or keys that were not offered, or leaves in the clear what must
/// be encrypted.
pub fn accept<'a>(answer: &Description, terms: impl Into<Terms<'a>>) -> Result<Selection, NegotiateError> {
    let terms = terms.into();
    let media = answer.media.first().ok_or(NegotiateError::BadAnswer)?;
    if media.kind != "audio" || media.port == 0 {
        return Err(NegotiateError::NoAudio);
    }
    let keys = select_keys(media, &terms);
    let offered = |keys: &SrtpKeys| {
        let at = (keys.tag as usize).checked_sub(1).and_then(|at| Suite::ALL.get(at));
        at == Some(&keys.remote.suite())
    };
    let srtp = match (keys, terms.encryption) {
        (Some(keys), _) if !offered(&keys) => return Err(NegotiateError::BadAnswer),
        (None, MediaEncryption::Require) => return Err(NegotiateError::NotEncrypted),
        // Keys that cannot be read are not the same as none: the peer encrypts with them.
        (None, MediaEncryption::Allow) if media.has("crypto") => return Err(NegotiateError::BadAnswer),
        (None, _) if profile(media) == Some(true) => return Err(NegotiateError::OnlyEncrypted),
        (keys, _) => keys,
    };
    let chosen = select_codec(media, terms.codecs).ok_or(NegotiateError::NoCodec)?;
    let mut selection = Selection { srtp, ..selection(answer, 0, chosen) };
    // Our offers share no port, so an answer that does says nothing (RFC 5761 §5.1.1).
    if selection.rtcp_mux {
        let rtp = selection.remote;
        selection.rtcp_mux = false;
        selection.remote_rtcp =
            rtp.and_then(|rtp| Some(SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?)));
    }
    Ok(selection)
}

fn selection(peer: &Description, line: usize, (codec, payload_type): (Codec, u8)) -> Selection {
    let media = &peer.media[line];
    let address = media.connection.as_deref().or(peer.connection.as_deref()).unwrap_or("");
    // ::ffff:127.0.0.1 is 127.0.0.1 to the system, so also to all who look whether it is allowed.
    let address: Option<IpAddr> = address.parse().ok().map(|address: IpAddr| address.to_canonical());
    // RFC 3264 §8.4 and RFC 2543: 0.0.0.0 is the old way to put a call on hold.
    let old_hold = address.is_some_and(|a| a.is_unspecified());
    let address = address.filter(|a| !a.is_unspecified());
    let offered = match media.direction(peer) {
        Direction::SendRecv if old_hold => Direction::SendOnly,
        direction => direction,
    };
    let mux = media.has("rtcp-mux");
    let remote = address.map(|ip| SocketAddr::new(ip, media.port));
    let remote_rtcp = match media.rtcp() {
        _ if mux => remote,
        Some((port, own)) => own.or(address).map(|ip| SocketAddr::new(ip.to_canonical(), port)),
        None => address.zip(media.port.checked_add(1)).map(|(ip, port)| SocketAddr::new(ip, port)),
    };
    let events = select_events(media, codec.clock_rate());
    let wanted = media.ptime(peer).unwrap_or(20) / 10 * 10;
    Selection {
        line,
        codec,
        payload_type,
        events: events.map(|(payload_type, _)| payload_type),
        events_rate: events.map_or(codec.clock_rate(), |(_, rate)| rate),
        ptime: match wanted.clamp(*PTIMES.start(), *PTIMES.end()) {
            // Opus has frames of 10, 20, 40 and 60 ms.
            30 | 50 if codec == Codec::Opus => wanted - 10,
            fine => fine,
        },
        remote,
        remote_rtcp,
        rtcp_mux: mux,
        direction: offered.reversed(),
        srtp: None,
    }
}

/// The codec to use and the payload type that the peer gave it.
fn select_codec(media: &Media, codecs: &[Codec]) -> Option<(Codec, u8)> {
    let maps = media.rtpmaps();
    codecs.iter().find_map(|codec| {
        let payload_types = media.formats.iter().filter_map(|format| format.parse::<u8>().ok());
        let mut fitting = payload_types.filter(|payload_type| {
            match maps.iter().find(|map| map.payload_type == *payload_type) {
                Some(map) => map.name.eq_ignore_ascii_case(codec.name()) && map.rate == codec.clock_rate(),
                None => Codec::from_payload_type(*payload_type) == Some(*codec),
            }
        });
        fitting.next().map(|payload_type| (*codec, payload_type))
    })
}

/// Telephone events and their clock rate. It is to be the codec's (RFC 4733 §2.1), but some peers have events
/// of 8000 Hz beside every codec.
fn select_events(media: &Media, rate: u32) -> Option<(u8, u32)> {
    let maps = media.rtpmaps();
    let offered = |map: &&crate::RtpMap| {
        let listed = media.formats.contains(&map.payload_type.to_string());
        listed && map.name.eq_ignore_ascii_case("telephone-event")
    };
    let fitting = |wanted| maps.iter().filter(offered).find(|map| map.rate == wanted);
    fitting(rate).or_else(|| fitting(8000)).map(|map| (map.payload_type, map.rate))
}

fn audio_line(protocol: &str, selection: &Selection, port: u16) -> Media {
    let mut media = audio_media(protocol, port);
    put_codec(&mut media, selection.payload_type, selection.codec);
    if let Some(payload_type) = selection.events {
        put_events(&mut media, payload_type, selection.events_rate);
    }
    if let Some(SrtpKeys { tag, local, .. }) = selection.srtp {
        put_key(&mut media, CryptoLine { tag, key: local });
    }
    put_ptime(&mut media, selection.ptime, selection.codec == Codec::Opus);
    if selection.rtcp_mux {
        media.attributes.push(Attribute { name: "rtcp-mux".to_owned(), value: None });
    }
    media.attributes.push(Attribute { name: selection.direction.name().to_owned(), value: None });
    media
}

fn audio_media(protocol: &str, port: u16) -> Media {
    Media {
        kind: "audio".to_owned(),
        port,
        protocol: protocol.to_owned(),
        formats: Vec::new(),
        connection: None,
        attributes: Vec::new(),
    }
}

fn put_codec(media: &mut Media, payload_type: u8, codec: Codec) {
    media.formats.push(payload_type.to_string());
    media.attributes.push(attribute("rtpmap", format!("{payload_type} {}", codec.encoding())));
    if let Some(parameters) = codec.parameters() {
        media.attributes.push(attribute("fmtp", format!("{payload_type} {parameters}")));
    }
}

/// Opus may put 120 ms into a packet, of which we read the half.
fn put_ptime(media: &mut Media, ptime: u32, opus: bool) {
    media.attributes.push(attribute("ptime", ptime.to_string()));
    if opus {
        media.attributes.push(attribute("maxptime", PTIMES.end().to_string()));
    }
}

fn put_key(media: &mut Media, line: CryptoLine) {
    media.attributes.push(attribute("crypto", line.to_string()));
}

fn put_events(media: &mut Media, payload_type: u8, rate: u32) {
    media.formats.push(payload_type.to_string());
    media.attributes.push(attribute("rtpmap", format!("{payload_type} telephone-event/{rate}")));
    media.attributes.push(attribute("fmtp", format!("{payload_type} 0-16")));
}

fn attribute(name: &str, value: String) -> Attribute {
    Attribute { name: name.to_owned(), value: Some(value) }
}

fn describe(local: &LocalMedia, media: Vec<Media>) -> String {
    let description = Description {
        session_id: local.session_id.to_string(),
        session_version: local.session_version.to_string(),
        connection: Some(local.address.to_string()),
        attributes: Vec::new(),
        media,
    };
    description.to_string()
}

#[cfg(test)]
mod tests;
