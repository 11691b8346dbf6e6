//! What is negotiated on a leg: which media, to where, under which keys.

use std::net::IpAddr;

use trunkline_sdp::{Description, Direction, LocalMedia, MediaEncryption, Selection, Terms, negotiate};

use super::Line;
use super::dialing::Offered;
use crate::MediaSpec;

impl Line {
    /// What we agree to on this flow.
    ///
    /// # Errors
    /// Where the trunk requires encryption and keys would be readable.
    pub(in crate::call) fn terms(&self) -> Result<Terms<'_>, String> {
        let transport = self.flow().transport;
        let trunk = &self.route.trunk;
        let encryption = trunk.encryption_over(transport).ok_or_else(|| {
            format!("trunk {} requires SRTP and its keys would be readable over {transport}", trunk.name)
        })?;
        let encryption = match (encryption, self.dialing.as_ref().and_then(|dialing| dialing.offered)) {
            (MediaEncryption::Allow, Some(Offered::Savp)) => MediaEncryption::Require,
            (MediaEncryption::Allow, Some(Offered::Plain)) => MediaEncryption::Disable,
            (encryption, _) => encryption,
        };
        Ok(Terms { codecs: &self.config.codecs, encryption, keys: &self.keys })
    }

    /// Chooses from an offer; refuses addresses that only an attacker would write.
    pub(in crate::call) fn negotiate(&self, offer: &Description) -> Result<Selection, String> {
        let selection = negotiate::select(offer, self.terms()?).map_err(|error| error.to_string())?;
        self.media_is_fine(selection)
    }

    /// Reads what its INVITE offers, where that offers anything.
    ///
    /// # Errors
    /// Why it cannot be taken.
    pub(in crate::call) fn read_offer(&mut self) -> Result<(), String> {
        self.terms()?;
        let body = self.leg.invite().and_then(|invite| invite.body_of("application/sdp"));
        let Some(body) = body else { return Ok(()) };
        let offer = Description::parse(&body).map_err(|_| "the offer cannot be read".to_owned())?;
        self.selection = Some(self.negotiate(&offer)?);
        self.offer = Some(offer);
        Ok(())
    }

    /// What answers its INVITE: our answer, or our offer where it had none.
    ///
    /// # Errors
    /// Where there can be neither.
    pub(in crate::call) fn answer_to_invite(&mut self) -> Result<String, String> {
        let local = self.local.ok_or("there is no media port yet")?;
        let sdp = match (&self.offer, &self.selection) {
            (Some(offer), Some(selection)) => negotiate::answer(offer, selection, &local),
            _ => self.offer_of_ours(&local)?,
        };
        self.last_sdp.clone_from(&sdp);
        Ok(sdp)
    }

    /// Chooses from an offer in mid-call. Our key stays where the stream does; one that moves, or has
    /// another key of the peer's, gets a new one, for both sides then count its packets anew (RFC 4568
    /// §7.1.4).
    fn renegotiate(&mut self, offer: &Description) -> Result<Selection, String> {
        let selection = self.negotiate(offer)?;
        let key = |selection: &Selection| selection.srtp.map(|keys| keys.remote);
        let stays = |old: &Selection| key(old) == key(&selection) && old.remote == selection.remote;
        if selection.srtp.is_none() || self.selection.as_ref().is_some_and(stays) {
            return Ok(selection);
        }
        self.keys = self.keys.next();
        self.negotiate(offer)
    }

    /// An offer of ours, to talk.
    pub(in crate::call) fn offer_of_ours(&mut self, local: &LocalMedia) -> Result<String, String> {
        self.offer_to(Direction::SendRecv, local)
    }

    fn offer_to(&mut self, direction: Direction, local: &LocalMedia) -> Result<String, String> {
        // A stream that was in the clear meanwhile does not go on under its old key.
        if self.selection.as_ref().is_some_and(|selection| selection.srtp.is_none()) {
            self.keys = self.keys.next();
        }
        Ok(negotiate::offer(self.terms()?, direction, local))
    }

    /// An offer of ours in mid-call; `None` where there can be none.
    pub(in crate::call) fn new_offer(&mut self, direction: Direction) -> Option<String> {
        let mut local = self.local?;
        local.session_version += 1;
        self.local = Some(local);
        let sdp = self.offer_to(direction, &local).ok()?;
        self.last_sdp.clone_from(&sdp);
        Some(sdp)
    }

    /// Takes an offer in mid-call: our answer, and how the leg sends and receives from now on.
    ///
    /// # Errors
    /// Why it cannot be taken; what was agreed on before stays in force.
    pub(in crate::call) fn take_offer(&mut self, body: &[u8]) -> Result<(String, MediaSpec), String> {
        let mut local = self.local.ok_or("there is no media port yet")?;
        let offer = Description::parse(body).map_err(|error| error.to_string())?;
        let selection = self.renegotiate(&offer)?;
        // The version rises only when our description changes (RFC 3264 §8).
        let mut sdp = negotiate::answer(&offer, &selection, &local);
        if sdp != self.last_sdp {
            local.session_version += 1;
            self.local = Some(local);
            sdp = negotiate::answer(&offer, &selection, &local);
        }
        self.last_sdp.clone_from(&sdp);
        let spec = self.spec(&selection);
        self.selection = Some(selection);
        self.offer = Some(offer);
        Ok((sdp, spec))
    }

    /// The peer's answer to an offer of ours.
    pub(in crate::call) fn accept(&self, answer: &[u8]) -> Result<Selection, String> {
        let description = Description::parse(answer).map_err(|error| error.to_string())?;
        let selection = negotiate::accept(&description, self.terms()?).map_err(|error| error.to_string())?;
        self.media_is_fine(selection)
    }

    /// Agrees to what was selected; how the leg sends and receives, where that is new.
    pub(in crate::call) fn agree(&mut self, selection: Selection) -> Option<MediaSpec> {
        if self.selection.as_ref() == Some(&selection) {
            return None;
        }
        let spec = self.spec(&selection);
        self.selection = Some(selection);
        Some(spec)
    }

    fn media_is_fine(&self, selection: Selection) -> Result<Selection, String> {
        let flow = self.leg.dialog().flow;
        let addresses = [selection.remote, selection.remote_rtcp];
        for address in addresses.into_iter().flatten() {
            let ip = address.ip();
            let ours = ip == flow.local.ip() || self.config.own_addresses.contains(&ip);
            // The peer's own address is its business; else neither a special one nor one of ours,
            // which would have the gateway talk to itself, unless the trunk names it.
            if ip != flow.remote.ip() && !self.route.media_address_is_fine(ip, ours) {
                return Err(format!(
                    "media to {} is not allowed for trunk {}",
                    address.ip(),
                    self.route.trunk.name
                ));
            }
        }
        if self.media_near(&selection).is_none() {
            return Err("the peer's media address is of a family that our media has no address of".to_owned());
        }
        Ok(selection)
    }

    /// Our address from which the peer's media is near: of its family. That of the signalling flow,
    /// or a configured one where media is of the other family; `None` where there is none.
    pub(in crate::call) fn media_near(&self, selection: &Selection) -> Option<IpAddr> {
        let open = self.local.map(|local| local.address);
        let near = open.unwrap_or_else(|| self.leg.dialog().flow.local.ip());
        let fits = |address: &IpAddr| selection.remote.is_none_or(|to| to.is_ipv4() == address.is_ipv4());
        if fits(&near) {
            return Some(near);
        }
        // A port that is open stays where it is.
        let others = self.config.media_addresses.iter().filter(|_| open.is_none());
        others.copied().find(|address| fits(address) && !address.is_unspecified())
    }

    /// How the leg sends and receives. Where the peer wrote a private address but signals from a
    /// public one it is behind NAT: nothing is sent before it was heard.
    pub(in crate::call) fn spec(&self, selection: &Selection) -> MediaSpec {
        let signalling = self.leg.dialog().flow.remote.ip();
        let reachable = |address: &std::net::SocketAddr| {
            address.ip() == signalling || !is_private(address.ip()) || is_private(signalling)
        };
        MediaSpec {
            codec: selection.codec,
            payload_type: selection.payload_type,
            events: selection.events,
            events_rate: selection.events_rate,
            ptime: selection.ptime,
            remote: selection.remote.filter(reachable),
            written: selection.remote,
            signalling: Some(signalling),
            remote_rtcp: selection.remote_rtcp.filter(reachable),
            rtcp_mux: selection.rtcp_mux,
            sends: selection.direction.sends(),
            receives: selection.direction.receives(),
            srtp: selection.srtp,
            dtmf: self.route.trunk.dtmf,
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
