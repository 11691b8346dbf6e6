//! What is negotiated: the first offer, the caller's re-INVITEs and UPDATEs, the late answer.

use std::collections::VecDeque;
use std::net::IpAddr;

use bytes::Bytes;
use trunkline_sdp::{Description, Direction, Selection, negotiate};
use trunkline_signalling::dialog::{Cx, OfferIn};

use super::{Call, Phase};
use crate::{EndedBy, MediaSpec, Output};

impl Call {
    /// Chooses from an offer; refuses addresses that only an attacker would write.
    pub(super) fn negotiate(&self, offer: &Description) -> Result<Selection, String> {
        let selection = negotiate::select(offer, &self.codecs).map_err(|error| error.to_string())?;
        self.media_is_fine(selection)
    }

    fn media_is_fine(&self, selection: Selection) -> Result<Selection, String> {
        let peer = self.leg.dialog().flow.remote.ip();
        let addresses = [selection.remote, selection.remote_rtcp];
        for address in addresses.into_iter().flatten() {
            let own = address.ip() == peer;
            if !own && !self.route.media_address_is_fine(address.ip()) {
                return Err(format!(
                    "media to {} is not allowed for trunk {}",
                    address.ip(),
                    self.route.trunk.name
                ));
            }
        }
        Ok(selection)
    }

    /// How the leg sends and receives. Where the peer wrote a private address but signals from a
    /// public one it is behind NAT: nothing is sent before it was heard.
    pub(super) fn spec(&self, selection: &Selection) -> MediaSpec {
        let signalling = self.leg.dialog().flow.remote.ip();
        let reachable = |address: &std::net::SocketAddr| {
            address.ip() == signalling || !is_private(address.ip()) || is_private(signalling)
        };
        MediaSpec {
            codec: selection.codec,
            payload_type: selection.payload_type,
            events: selection.events,
            ptime: selection.ptime,
            remote: selection.remote.filter(reachable),
            remote_rtcp: selection.remote_rtcp.filter(reachable),
            rtcp_mux: selection.rtcp_mux,
            sends: selection.direction.sends(),
            receives: selection.direction.receives(),
        }
    }

    /// The ACK of our answer; with the caller's answer where the offer was ours.
    pub(super) fn acknowledged(
        &mut self,
        cx: &mut Cx<'_>,
        answer: Option<Bytes>,
        out: &mut VecDeque<Output>,
    ) {
        let Some(body) = answer else {
            if self.selection.is_none() && self.phase == Phase::Talking {
                self.fail(cx, out, 488, EndedBy::Gateway, "the ACK has no answer to our offer");
            }
            return;
        };
        let chosen = Description::parse(&body)
            .map_err(|error| error.to_string())
            .and_then(|sdp| negotiate::accept(&sdp, &self.codecs).map_err(|error| error.to_string()))
            .and_then(|selection| self.media_is_fine(selection));
        match chosen {
            Ok(selection) => {
                out.push_back(Output::UpdateMedia(self.handle, self.spec(&selection)));
                self.selection = Some(selection);
            }
            Err(reason) => self.fail(cx, out, 488, EndedBy::Gateway, &reason),
        }
    }

    /// A re-INVITE or UPDATE from the caller: hold, resume, another address, another codec.
    pub(super) fn peer_offer(&mut self, cx: &mut Cx<'_>, offer: OfferIn, out: &mut VecDeque<Output>) {
        let (Some(mut local), Phase::Talking) = (self.local, self.phase) else {
            return self.leg.refuse_offer(cx, 488);
        };
        let body = match offer {
            OfferIn::Wanted => {
                local.session_version += 1;
                self.local = Some(local);
                let sdp = negotiate::offer(&self.codecs, Direction::SendRecv, &local);
                self.last_sdp.clone_from(&sdp);
                return self.leg.accept_offer(cx, &sdp);
            }
            OfferIn::Given(body) => body,
        };
        let chosen = Description::parse(&body).map_err(|error| error.to_string()).and_then(|offer| {
            let selection = self.negotiate(&offer)?;
            Ok((offer, selection))
        });
        match chosen {
            Ok((offer, selection)) => {
                // The version rises only when our description changes (RFC 3264 §8).
                let mut sdp = negotiate::answer(&offer, &selection, &local);
                if sdp != self.last_sdp {
                    local.session_version += 1;
                    self.local = Some(local);
                    sdp = negotiate::answer(&offer, &selection, &local);
                }
                self.last_sdp.clone_from(&sdp);
                out.push_back(Output::UpdateMedia(self.handle, self.spec(&selection)));
                self.selection = Some(selection);
                self.offer = Some(offer);
                self.leg.accept_offer(cx, &sdp);
            }
            // What was agreed on before stays in force (RFC 6141).
            Err(_) => self.leg.refuse_offer(cx, 488),
        }
    }
}

/// Whether an address is one of RFC 1918, RFC 4193 or RFC 6598, which the internet does not route.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || (v4.octets()[0] == 100 && (64..128).contains(&v4.octets()[1])),
        IpAddr::V6(v6) => v6.is_unique_local(),
    }
}
