//! Offer and answer (RFC 3264) for one audio stream.
//!
//! Two steps, because the port comes in between: [`select`] looks at what the peer offers and
//! says whether anything fits; once a port is open [`answer`] mirrors the offer line for line, with
//! port 0 on all that was not selected. [`offer`] and [`accept`] are the same the other way round.

use std::net::{IpAddr, SocketAddr};

use crate::{Attribute, Codec, Description, Direction, Media};

/// Clock rate of G.711 and of its telephone events.
const RATE: u32 = 8000;
/// Payload type of our own telephone-event offers.
const EVENT_PAYLOAD_TYPE: u8 = 101;
/// Packet times that we send, in milliseconds.
const PTIMES: std::ops::RangeInclusive<u32> = 10..=60;

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
    /// Only encrypted audio is offered.
    #[error("only SRTP is offered")]
    OnlyEncrypted,
    /// No codec of ours.
    #[error("no codec in common")]
    NoCodec,
    /// An answer that does not mirror our offer.
    #[error("the answer does not fit the offer")]
    BadAnswer,
}

/// Chooses an audio line and a codec from an offer. Codecs are tried in the order of `codecs`
/// within the offer; the first audio line that fits wins.
///
/// # Errors
/// See [`NegotiateError`].
pub fn select(offer: &Description, codecs: &[Codec]) -> Result<Selection, NegotiateError> {
    let mut problem = NegotiateError::NoAudio;
    for (line, media) in offer.media.iter().enumerate() {
        if media.kind != "audio" || media.port == 0 {
            continue;
        }
        match media.protocol.as_str() {
            "RTP/AVP" | "RTP/AVPF" => {}
            "RTP/SAVP" | "RTP/SAVPF" => {
                problem = NegotiateError::OnlyEncrypted;
                continue;
            }
            _ => continue,
        }
        match select_codec(media, codecs) {
            Some((codec, payload_type)) => return Ok(selection(offer, line, codec, payload_type)),
            None => problem = NegotiateError::NoCodec,
        }
    }
    Err(problem)
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

/// An offer of ours, with every codec and telephone events.
#[must_use]
pub fn offer(codecs: &[Codec], direction: Direction, local: &LocalMedia) -> String {
    let mut media = audio_media("RTP/AVP", local.port);
    for codec in codecs {
        put_codec(&mut media, codec.payload_type(), *codec);
    }
    put_events(&mut media, EVENT_PAYLOAD_TYPE);
    media.attributes.push(attribute("ptime", "20".to_owned()));
    media.attributes.push(Attribute { name: direction.name().to_owned(), value: None });
    describe(local, vec![media])
}

/// Takes the peer's answer to our [`offer`].
///
/// # Errors
/// Where it refuses the line or names a codec that was not offered.
pub fn accept(answer: &Description, codecs: &[Codec]) -> Result<Selection, NegotiateError> {
    let media = answer.media.first().ok_or(NegotiateError::BadAnswer)?;
    if media.kind != "audio" || media.port == 0 {
        return Err(NegotiateError::NoAudio);
    }
    let (codec, payload_type) = select_codec(media, codecs).ok_or(NegotiateError::NoCodec)?;
    Ok(selection(answer, 0, codec, payload_type))
}

fn selection(peer: &Description, line: usize, codec: Codec, payload_type: u8) -> Selection {
    let media = &peer.media[line];
    let address = media.connection.as_deref().or(peer.connection.as_deref()).unwrap_or("");
    let address: Option<IpAddr> = address.parse().ok();
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
        Some((port, own)) => own.or(address).map(|ip| SocketAddr::new(ip, port)),
        None => address.zip(media.port.checked_add(1)).map(|(ip, port)| SocketAddr::new(ip, port)),
    };
    let wanted = media.ptime(peer).unwrap_or(20) / 10 * 10;
    Selection {
        line,
        codec,
        payload_type,
        events: events_payload_type(media),
        ptime: wanted.clamp(*PTIMES.start(), *PTIMES.end()),
        remote,
        remote_rtcp,
        rtcp_mux: mux,
        direction: offered.reversed(),
    }
}

/// The codec to use and the payload type that the peer gave it.
fn select_codec(media: &Media, codecs: &[Codec]) -> Option<(Codec, u8)> {
    let maps = media.rtpmaps();
    codecs.iter().find_map(|codec| {
        let payload_types = media.formats.iter().filter_map(|format| format.parse::<u8>().ok());
        let mut fitting = payload_types.filter(|payload_type| {
            match maps.iter().find(|map| map.payload_type == *payload_type) {
                Some(map) => map.name.eq_ignore_ascii_case(codec.name()) && map.rate == RATE,
                None => Codec::from_payload_type(*payload_type) == Some(*codec),
            }
        });
        fitting.next().map(|payload_type| (*codec, payload_type))
    })
}

fn events_payload_type(media: &Media) -> Option<u8> {
    let maps = media.rtpmaps();
    let events = |m: &&crate::RtpMap| m.name.eq_ignore_ascii_case("telephone-event") && m.rate == RATE;
    let map = maps.iter().find(events)?;
    media.formats.contains(&map.payload_type.to_string()).then_some(map.payload_type)
}

fn audio_line(protocol: &str, selection: &Selection, port: u16) -> Media {
    let mut media = audio_media(protocol, port);
    put_codec(&mut media, selection.payload_type, selection.codec);
    if let Some(payload_type) = selection.events {
        put_events(&mut media, payload_type);
    }
    media.attributes.push(attribute("ptime", selection.ptime.to_string()));
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
    media.attributes.push(attribute("rtpmap", format!("{payload_type} {}/{RATE}", codec.name())));
}

fn put_events(media: &mut Media, payload_type: u8) {
    media.formats.push(payload_type.to_string());
    media.attributes.push(attribute("rtpmap", format!("{payload_type} telephone-event/{RATE}")));
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
