//! One leg of a call: its dialog, where it is placed to, and what was negotiated on it.
//!
//! The call decides what becomes of a leg; a line knows how.

mod agreement;
mod dialing;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use trunkline_routing::Route;
use trunkline_sdp::{Description, KeySeed, LocalMedia, Member, Selection};
use trunkline_signalling::dialog::Leg;
use trunkline_sip::Flow;

use crate::{CallHandle, ShardConfig};

use super::replaced::Replacing;
use dialing::Dialing;
pub(super) use dialing::PlaceLine;

/// A media port in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    Closed,
    Opening,
    Open,
    Closing,
}

/// One leg.
#[derive(Debug)]
pub(super) struct Line {
    /// Its place in the room.
    pub(super) member: Member,
    /// Its number among the call's legs, from 0 on.
    pub(super) nth: u32,
    pub(super) leg: Leg,
    /// What routing decided of it.
    pub(super) route: Arc<Route>,
    /// What a leg that we place has beside.
    pub(super) dialing: Option<Box<Dialing>>,
    /// The leg whose place it wants, until it has it.
    pub(super) replacing: Option<Replacing>,
    /// The peer's description, while it is to be answered.
    pub(super) offer: Option<Description>,
    pub(super) selection: Option<Selection>,
    pub(super) local: Option<LocalMedia>,
    /// Our description as last sent.
    pub(super) last_sdp: String,
    /// The media port of a leg that came later; the first one's is the room's.
    pub(super) port: Port,
    /// What our SRTP keys are made from, until the stream moves.
    keys: KeySeed,
    call: CallHandle,
    config: Arc<ShardConfig>,
}

impl Line {
    /// `nth` leg of the call, from 0 on.
    pub(super) fn new(
        call: CallHandle,
        (member, nth): (Member, u32),
        leg: Leg,
        route: Arc<Route>,
        config: &Arc<ShardConfig>,
    ) -> Self {
        Self {
            member,
            nth,
            leg,
            route,
            dialing: None,
            replacing: None,
            offer: None,
            selection: None,
            local: None,
            last_sdp: String::new(),
            port: Port::Closed,
            keys: config.key_seed.of_leg(call.0, nth),
            call,
            config: Arc::clone(config),
        }
    }

    /// The Call-ID.
    pub(super) fn sip_call_id(&self) -> &str {
        &self.leg.dialog().call_id
    }

    /// The way that its requests take, or will take once it is placed.
    pub(super) fn flow(&self) -> Flow {
        let placed = self.dialing.as_ref().and_then(|dialing| dialing.flow());
        placed.unwrap_or(self.leg.dialog().flow)
    }

    /// Our address that its media port should be near to.
    pub(super) fn near(&self) -> IpAddr {
        let near = self.selection.as_ref().and_then(|selection| self.media_near(selection));
        near.unwrap_or_else(|| self.flow().local.ip())
    }

    /// The host that we are on this leg's flow.
    pub(super) fn own_host(&self) -> String {
        let sent_by = self.config.advertised.on(&self.flow()).sent_by;
        sent_by.rsplit_once(':').map_or(sent_by.clone(), |(host, _)| host.to_owned())
    }

    /// Its media port is open.
    pub(super) fn has_port(&mut self, address: SocketAddr) {
        self.local = Some(LocalMedia {
            address: self.config.advertised.address(address.ip(), &self.flow()),
            port: address.port(),
            session_id: self.call.0,
            session_version: 1,
        });
    }
}
