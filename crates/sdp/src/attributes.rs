//! The attributes a media line is negotiated by, read with `webrtc-sdp` where it knows them.

use std::net::IpAddr;

use webrtc_sdp::address::ExplicitlyTypedAddress;
use webrtc_sdp::attribute_type::SdpAttribute;

use crate::{Description, Media};

/// Who sends (RFC 3264 §5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Both.
    SendRecv,
    /// Only the writer of the description.
    SendOnly,
    /// Only its reader.
    RecvOnly,
    /// Nobody.
    Inactive,
}

impl Direction {
    /// The attribute's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The same streams seen from the other side.
    #[must_use]
    pub const fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            same => same,
        }
    }

    /// Whether the writer of the description sends.
    #[must_use]
    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the writer of the description receives.
    #[must_use]
    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// An rtpmap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RtpMap {
    /// Payload type.
    pub payload_type: u8,
    /// Encoding name as written.
    pub name: String,
    /// Clock rate in hertz.
    pub rate: u32,
}

impl Media {
    /// Every rtpmap that can be read.
    #[must_use]
    pub fn rtpmaps(&self) -> Vec<RtpMap> {
        self.typed("rtpmap")
            .filter_map(|attribute| match attribute {
                SdpAttribute::Rtpmap(map) => {
                    Some(RtpMap { payload_type: map.payload_type, name: map.codec_name, rate: map.frequency })
                }
                _ => None,
            })
            .collect()
    }

    /// Packet time in milliseconds, of the m-line or else of the session.
    #[must_use]
    pub fn ptime(&self, session: &Description) -> Option<u32> {
        let at_session = session.attributes.iter();
        let of = |a: &crate::Attribute| (a.name == "ptime").then(|| a.value.clone()).flatten();
        let text = self.attributes.iter().chain(at_session).find_map(of)?;
        match format!("ptime:{}", text.trim()).parse() {
            Ok(SdpAttribute::Ptime(milliseconds)) => u32::try_from(milliseconds).ok(),
            _ => None,
        }
    }

    /// Port and address of `a=rtcp` (RFC 3605).
    #[must_use]
    pub fn rtcp(&self) -> Option<(u16, Option<IpAddr>)> {
        self.typed("rtcp").find_map(|attribute| match attribute {
            SdpAttribute::Rtcp(rtcp) => {
                let address = match rtcp.unicast_addr {
                    Some(ExplicitlyTypedAddress::Ip(address)) => Some(address),
                    _ => None,
                };
                Some((rtcp.port, address))
            }
            _ => None,
        })
    }

    /// Whether an attribute stands on the m-line.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.attributes.iter().any(|attribute| attribute.name == name)
    }

    /// The direction of the m-line, else of the session, else `sendrecv`.
    #[must_use]
    pub fn direction(&self, session: &Description) -> Direction {
        let all = [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
        let mut attributes = self.attributes.iter().chain(&session.attributes);
        attributes
            .find_map(|attribute| all.into_iter().find(|d| d.name() == attribute.name))
            .unwrap_or(Direction::SendRecv)
    }

    fn typed(&self, name: &str) -> impl Iterator<Item = SdpAttribute> {
        self.attributes.iter().filter(move |attribute| attribute.name == name).filter_map(|attribute| {
            format!("{}:{}", attribute.name, attribute.value.as_deref()?).parse().ok()
        })
    }
}
