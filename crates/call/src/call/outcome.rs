//! What a transfer came to, and who is told of it.

use std::collections::VecDeque;
use std::sync::Arc;

use trunkline_routing::Route;
use trunkline_sdp::Member;
use trunkline_sdp::control::{AgentNews, TransferMode, TransferResult};
use trunkline_sip::headers::Replaces;
use trunkline_sip::{Uri, format_host, reason_phrase};

use super::Call;
use super::transfer::{Stage, Transferring, Wish};
use crate::Output;

impl Call {
    /// The transfer has succeeded.
    pub(super) fn through(&mut self, out: &mut VecDeque<Output>) {
        self.transferred_to = self.transfer.as_ref().map(|transfer| transfer.route.to.clone());
        let reason = "the caller was put through".to_owned();
        self.tell_result(TransferResult { ok: true, code: Some(200), reason }, out);
    }

    /// Tells whoever asked how a transfer came out.
    pub(super) fn tell_result(&mut self, result: TransferResult, out: &mut VecDeque<Output>) {
        self.transfer_result = Some(result.clone());
        self.tell_refusal(result, out);
    }

    /// Tells whoever asked that a wish about a transfer comes to nothing; what became of the transfer itself
    /// is another matter.
    pub(super) fn tell_refusal(&self, result: TransferResult, out: &mut VecDeque<Output>) {
        out.push_back(Output::TransferEnded(self.handle, Box::new(result.clone())));
        self.tell(AgentNews::TransferResult { transfer_result: result }, out);
    }

    /// A transfer that the end of the call overtakes.
    pub(super) fn transfer_is_overtaken(&mut self, reason: &str, out: &mut VecDeque<Output>) {
        let transfer = self.transfer.take();
        let open = |transfer: Box<Transferring>| {
            transfer.wish != Wish::Peers && !matches!(transfer.stage, Stage::Moved)
        };
        if transfer.is_some_and(open) {
            self.tell_result(failure(None, reason), out);
        }
    }

    /// Tells the agent something, while it is there. One on SIP has no ear for events.
    pub(super) fn tell(&self, news: AgentNews, out: &mut VecDeque<Output>) {
        if self.agent_here && self.agent_leg.is_none() {
            out.push_back(Output::Tell(self.handle, Box::new(news)));
        }
    }

    /// The route of the leg that would be transferred: its trunk is not the call's where somebody has taken the
    /// first party's place.
    pub(super) fn party_route(&self) -> Arc<Route> {
        Arc::clone(self.line(self.party).map_or(&self.route, |line| &line.route))
    }

    /// The host of who would be asked for a transfer.
    pub(super) fn peer_host(&self) -> String {
        self.host_of(self.party)
    }

    /// The host of a leg's peer.
    pub(super) fn host_of(&self, member: Member) -> String {
        let line = self.line(member).unwrap_or(&self.first);
        let target = Uri::parse(&line.leg.dialog().remote_target).ok();
        let host = target.as_ref().and_then(Uri::host).map(format_host);
        host.unwrap_or_else(|| line.leg.dialog().flow.remote.ip().to_string())
    }

    /// Refer-To that has the party take over the dialog of a leg (RFC 3891, RFC 5589 §7): in an attended
    /// transfer whose two legs share a trunk that knows Replaces.
    pub(super) fn replacing(&self, member: Member) -> Option<String> {
        let attended = |transfer: &Transferring| transfer.ask.mode == TransferMode::Attended;
        let (party, consult) = (self.line(self.party)?, self.line(member)?);
        let trunk = &party.route.trunk;
        let shared = trunk.replaces && trunk.name == consult.route.trunk.name;
        if !(shared && self.transfer.as_deref().is_some_and(attended)) {
            return None;
        }
        let dialog = consult.leg.dialog();
        let replaces = Replaces {
            call_id: dialog.call_id.clone(),
            to_tag: dialog.remote_tag.clone(),
            from_tag: dialog.local_tag.clone(),
            early_only: false,
        };
        let target = Uri::parse(&dialog.remote_target).ok()?;
        Some(format!("<{}?Replaces={}>", target.without_headers(), escaped(&replaces.to_string())))
    }
}

/// A value as it stands in a URI's header fields (RFC 3261 §25.1, `hvalue`).
fn escaped(value: &str) -> String {
    value.bytes().fold(String::new(), |text, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
            text + char::from(byte).encode_utf8(&mut [0; 4])
        }
        _ => format!("{text}%{byte:02X}"),
    })
}

pub(super) fn failure(code: Option<u16>, reason: &str) -> TransferResult {
    TransferResult { ok: false, code, reason: reason.to_owned() }
}

pub(super) fn refused(code: u16) -> String {
    format!("refused: {code} {}", reason_phrase(code))
}
