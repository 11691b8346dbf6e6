//! The early dialogs of an INVITE of ours, side by side: one for each To tag that a provisional
//! response brings (RFC 3261 §12.1, RFC 3262 §4).
//!
//! ```text
//! 1xx, new tag ─▶ Early ── requests of the peer, its reliable responses ──▶ Early
//!                   │          (our PRACK of one that is challenged: 401, 407: once more with the answer)
//!                   ├── 2xx with its tag: becomes the dialog of the leg
//!                   └── 199, or another's 2xx, or a refusal: forgotten
//! ```

use bytes::Bytes;
use trunkline_sip::headers::parse_rseq;
use trunkline_sip::{HeaderName, Method, Request, Response};

use super::leg::{Cx, Leg, State, respond};
use super::state::Dialog;
use crate::{ClientId, ServerId};

/// Early dialogs of one INVITE that are kept apart; a fork has a handful. Reliable responses of more
/// are not acknowledged.
const MAX_EARLY: usize = 8;

#[derive(Debug)]
struct Early {
    dialog: Dialog,
    /// The last reliable response.
    rseq: Option<u32>,
    /// Our PRACK, while it has no final response, and what it acknowledges.
    prack: Option<(ClientId, u32)>,
    /// The session description that it brought last.
    described: Bytes,
}

/// The early dialogs of one INVITE.
#[derive(Debug, Default)]
pub(super) struct EarlyDialogs(Vec<Early>);

impl EarlyDialogs {
    fn of(&mut self, tag: &str) -> Option<&mut Early> {
        self.0.iter_mut().find(|early| early.dialog.remote_tag == tag)
    }

    /// The dialog of a response, opened where its tag is new.
    fn open(&mut self, base: &Dialog, response: &Response) -> Option<&mut Early> {
        let tag = response.to()?.tag()?;
        if self.of(tag).is_none() {
            if self.0.len() == MAX_EARLY {
                return None;
            }
            self.0.push(Early { dialog: base.clone(), rseq: None, prack: None, described: Bytes::new() });
            let early = self.0.last_mut()?;
            early.dialog.take_response(response);
            return Some(early);
        }
        let early = self.of(tag)?;
        early.dialog.refresh_target(response.contact());
        Some(early)
    }

    /// The tag of the early dialog that a request belongs to.
    pub(super) fn tag_of(&self, request: &Request) -> Option<String> {
        let early = self.0.iter().find(|early| early.dialog.owns(request))?;
        Some(early.dialog.remote_tag.clone())
    }

    /// Whether there is one with such a tag of the peer's.
    pub(super) fn has(&self, is_remote: impl Fn(&str) -> bool) -> bool {
        self.0.iter().any(|early| is_remote(&early.dialog.remote_tag))
    }

    /// Takes a dialog out, with what it described; the others are over.
    pub(super) fn win(&mut self, tag: &str) -> Option<(Dialog, Bytes)> {
        let at = self.0.iter().position(|early| early.dialog.remote_tag == tag);
        let won = at.map(|at| self.0.swap_remove(at));
        self.0.clear();
        won.map(|early| (early.dialog, early.described))
    }

    /// What that dialog described before has been replaced by an offer and answer.
    pub(super) fn described_anew(&mut self, tag: &str) {
        if let Some(early) = self.of(tag) {
            early.described.clear();
        }
    }

    /// The transactions of our PRACKs.
    pub(super) fn pracks(&self) -> [Option<ClientId>; MAX_EARLY] {
        let mut pracks = [None; MAX_EARLY];
        for (place, early) in pracks.iter_mut().zip(&self.0) {
            *place = early.prack.map(|(tx, _)| tx);
        }
        pracks
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }
}

impl Leg {
    /// A request inside the dialog, or inside one of its early dialogs, whose tags fit
    /// (RFC 3261 §12.2.2).
    pub fn handle_request(&mut self, cx: &mut Cx<'_>, tx: ServerId, request: Request) {
        let early = match self.state {
            State::Calling { .. } => self.placing.as_ref().and_then(|placing| placing.early.tag_of(&request)),
            State::Cancelling { .. } => return respond(cx, tx, &request, 481, ""),
            State::New | State::Incoming { .. } | State::Confirmed | State::Leaving { .. } | State::Ended => {
                None
            }
        };
        match early {
            Some(tag) => {
                self.within(&tag, |leg| leg.request_inside(cx, tx, request));
            }
            None => self.request_inside(cx, tx, request),
        }
    }

    /// A provisional response that may belong to an early dialog: reliable ones are acknowledged
    /// (RFC 3262 §4). False for a copy, for one that comes before its time, and for the end of a branch.
    pub(super) fn early_response(&mut self, cx: &mut Cx<'_>, response: &Response) -> bool {
        let Some(placing) = &mut self.placing else { return false };
        if response.code() == 199 {
            // That branch of a fork is over (RFC 6228).
            let tag = response.to().and_then(|to| to.tag());
            placing.early.0.retain(|early| tag != Some(&early.dialog.remote_tag));
        }
        let early = match response.code() {
            199 => None,
            _ => placing.early.open(&self.dialog, response),
        };
        let body = response.body_of("application/sdp").unwrap_or_default();
        let rseq = response.headers.text(&HeaderName::RSeq).and_then(|text| parse_rseq(&text));
        let reliable = rseq.filter(|_| response.headers.lists(&HeaderName::Require, "100rel"));
        let Some(early) = early else { return reliable.is_none() && response.code() != 199 };
        if let Some(rseq) = reliable {
            if early.rseq.is_some_and(|last| rseq != last.wrapping_add(1)) {
                return false;
            }
            early.rseq = Some(rseq);
            // The first description is the answer; none behind it counts (RFC 3261 §13.2.1).
            early.dialog.answered_early |= !body.is_empty();
        }
        if !body.is_empty() {
            early.described = body;
        }
        let tag = early.dialog.remote_tag.clone();
        if let Some(rseq) = reliable {
            self.send_prack(cx, &tag, rseq);
        }
        true
    }

    /// The transactions of our PRACKs.
    pub(super) fn pracks(&self) -> [Option<ClientId>; MAX_EARLY] {
        self.placing.as_ref().map(|placing| placing.early.pracks()).unwrap_or_default()
    }

    fn send_prack(&mut self, cx: &mut Cx<'_>, tag: &str, rseq: u32) {
        let Some(early) = self.placing.as_mut().and_then(|placing| placing.early.of(tag)) else { return };
        // Its requests share our count.
        early.dialog.count_from(&self.dialog);
        let mut prack = early.dialog.request(Method::Prack, cx.tokens);
        self.dialog.count_from(&early.dialog);
        let target = early.dialog.target();
        prack.headers.push(HeaderName::RAck, format!("{rseq} {} INVITE", self.invite_cseq));
        self.sign(&mut prack, cx);
        let tx = cx.transactions.request(prack, target, cx.now.mono);
        if let Some(early) = self.placing.as_mut().and_then(|placing| placing.early.of(tag)) {
            early.prack = Some((tx, rseq));
        }
    }

    /// A final response to a PRACK of ours: once more where the peer asks who sends it.
    pub(super) fn prack_response(&mut self, cx: &mut Cx<'_>, tx: ClientId, response: &Response) {
        let Some(placing) = self.placing.as_mut().filter(|_| response.code() >= 200) else { return };
        let of_it = |early: &&mut Early| early.prack.is_some_and(|(prack, _)| prack == tx);
        let Some(early) = placing.early.0.iter_mut().find(of_it) else { return };
        let (tag, asked) = (early.dialog.remote_tag.clone(), early.prack.take());
        if let Some((_, rseq)) = asked.filter(|_| self.challenged(response)) {
            self.send_prack(cx, &tag, rseq);
        }
    }

    /// Whether a request belongs to this leg, by its tags.
    #[must_use]
    pub fn owns(&self, request: &Request) -> bool {
        match self.state {
            State::New | State::Calling { .. } | State::Cancelling { .. } => {
                self.placing.as_ref().is_some_and(|placing| placing.early.tag_of(request).is_some())
            }
            State::Incoming { .. } | State::Confirmed | State::Leaving { .. } | State::Ended => {
                self.dialog.owns(request)
            }
        }
    }

    /// Does something as the leg of one early dialog; nothing where that is over.
    pub(super) fn within(&mut self, tag: &str, work: impl FnOnce(&mut Self)) -> bool {
        let list = self.placing.as_mut().map(|placing| &mut placing.early.0);
        let at = list.as_ref().and_then(|list| list.iter().position(|early| early.dialog.remote_tag == tag));
        let (Some(list), Some(at)) = (list, at) else { return false };
        list[at].dialog.count_from(&self.dialog);
        std::mem::swap(&mut self.dialog, &mut list[at].dialog);
        work(self);
        if let Some(early) = self.placing.as_mut().and_then(|placing| placing.early.0.get_mut(at)) {
            std::mem::swap(&mut self.dialog, &mut early.dialog);
            self.dialog.count_from(&early.dialog);
        }
        true
    }
}
